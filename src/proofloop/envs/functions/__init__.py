"""Programming by example in real Python, generated, with a complexity and a horizon dial."""

from proofloop.envs.functions.environment import FunctionsEnvironment

__all__ = ["FunctionsEnvironment"]
