"""Chat templates and tokens, one way and back."""
