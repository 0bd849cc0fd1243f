"""Network definitions that sampler and trainer share, in Hugging Face's checkpoint format."""
