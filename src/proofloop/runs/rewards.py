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

    Staged, of parts in [0, 1] that `verify.projects` gives: a compiles + b collects +
    (1 - a - b) fail_to_pass pass_to_pass, a and b of the recipe, so that 1 is what the strict
    reward calls 1.  Where files were refused or tests tampered with, all parts are 0.
    """
    if config.kind is RewardKind.STRICT or not isinstance(verdict, Scored):
        return verdict
    parts, a, b = verdict.parts, config.compiles, config.collects
    reward = a * parts["compiles"] + b * parts["collects"] + (1 - a - b) * parts["staged"]
    return msgspec.structs.replace(verdict, reward=1.0 if verdict.passed else min(reward, SOLVED))


def solved_above(config: RewardConfig) -> float:
    """The reward above which a rollout counts as solved where tasks are drawn by how they go."""
    return 0.0 if config.kind is RewardKind.STRICT else SOLVED
