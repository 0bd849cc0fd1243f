"""The nouns of Proofloop and the protocols between them.  Imports no torch."""
