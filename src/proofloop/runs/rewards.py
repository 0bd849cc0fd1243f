"""What a verdict is worth in training (`reward.kind`).

A verdict itself, and with it every score of held-out tasks, is strict: all tests or nothing.
"""

import msgspec

from proofloop.core.verdict import Scored, Verdict
from proofloop.runs.recipe import RewardConfig, RewardKind

SOLVED = 1 - 1e-9
"""The most that an answer earns in stages without passing."""


def rewarded(verdict: Verdict, config: RewardConfig) -> Verdict:
    """The verdict with another reward; passed, cause and parts stay, and unscored stays unscored.

    Staged (weights w that add up to 1, of parts in [0, 1] that `verify.projects` gives):
    w_compiles compiles + w_runs collects + w_passes fail_to_pass pass_to_pass, so that 1 is what
    the strict reward calls 1.  Where tests were refused, tampered with or never reached, all parts
    are 0.
    """
    if config.kind is RewardKind.STRICT or not isinstance(verdict, Scored):
        return verdict
    parts, stages = verdict.parts, config.stages
    reward = stages.compiles * parts["compiles"] + stages.runs * parts["collects"]
    reward += stages.passes * parts["staged"]
    return msgspec.structs.replace(verdict, reward=1.0 if verdict.passed else min(reward, SOLVED))


def solved_above(config: RewardConfig) -> float:
    """The reward above which a rollout counts as solved where tasks are drawn by how they go."""
    return 0.0 if config.kind is RewardKind.STRICT else SOLVED
