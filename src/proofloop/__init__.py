"""Proofloop: reinforcement learning of language models from rewards that can be proven."""

__version__ = "0.1.0"
