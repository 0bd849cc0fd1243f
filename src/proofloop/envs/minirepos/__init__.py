"""Small generated repositories with bugs, for agents of any size, with complexity and horizon."""

from proofloop.envs.minirepos.environment import MiniReposEnvironment

__all__ = ["MiniReposEnvironment"]
