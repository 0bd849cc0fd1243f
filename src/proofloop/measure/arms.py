"""Control arms by name, and what each of them says in plain words.

A control is a run that lacks one thing which a gain is claimed to come from.  Which arms a run is
follows from the keys of its recipe alone, so that no label can say otherwise (docs/controls.md).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Arm(StrEnum):
    """What `proofloop train --control` takes."""

    RANDOM = "random"
    FORMAT = "format"
    NAIVE = "naive"
    COPY = "copy"
    SEED = "seed"
    SFT = "sft"
    ONE_EXAMPLE = "one-example"
    SCRATCH = "scratch"
    SHUFFLED = "shuffled-feedback"
    MASKED = "masked-feedback"
    BARE = "bare-feedback"


class Words(NamedTuple):
    """How an arm is put to a reader."""

    title: str
    lacks: str
    """What was done, and what was left out."""
    then: str
    """What follows from its result."""
    is_null: bool = False
    """Whether it must gain nothing."""


WORDS: Mapping[Arm, Words] = {
    Arm.RANDOM: Words(
        "placebo (random reward)",
        "A coin decided every reward, whatever the answer.",
        "It must gain nothing: a gain here is owed to the loop, not to any reward.",
        is_null=True,
    ),
    Arm.FORMAT: Words(
        "format-only reward",
        "Every answer of the right form earned 1, right or wrong.",
        "What it gains is form: only a gain beyond it can come from right answers.",
    ),
    Arm.NAIVE: Words(
        "naive reward",
        "Programs were rewarded for ending with status 0 after the shown tests, in one process "
        "with them.",
        "Where its reward rises and this does not, the reward was gamed.",
    ),
    Arm.COPY: Words(
        "base copy (null)",
        "Nothing was trained: the same weights were measured twice, by other chances.",
        "The two must not differ: what differs here is the noise of the measurement.",
        is_null=True,
    ),
    Arm.SEED: Words(
        "second seed",
        "The recipe of another run with another seed; no placebo.",
        "It should gain what that run gains: what differs is the luck of a seed.",
    ),
    Arm.SFT: Words(
        "SFT on a run's own successes",
        "Trained by the likelihood of right answers that another run sampled, without any reward, "
        "on as many tokens as that run trained on.",
        "What it gains, more of such answers explain: only what that run gains beyond it is owed "
        "to learning by reward.",
    ),
    Arm.ONE_EXAMPLE: Words(
        "few training tasks",
        "Every step drew from the same few tasks.",
        "What it gains needs no variety of tasks: it is habit, or was there before.",
    ),
    Arm.SCRATCH: Words(
        "random start",
        "The same network began with random weights.",
        "What it gains owes nothing to pre-training; what only the other run gains stands on it.",
    ),
    Arm.SHUFFLED: Words(
        "shuffled feedback",
        "A failed attempt was told what belonged to another task.",
        "What it gains needs no true feedback: only what goes beyond is owed to what it says.",
    ),
    Arm.MASKED: Words(
        "masked feedback",
        "A failed attempt was told which tests pass, without any value.",
        "What a run gains beyond it may be copied from the values that its feedback shows.",
    ),
    Arm.BARE: Words(
        "bare feedback",
        "A failed attempt was told that it failed, and no more.",
        "What it gains is owed to another try, not to what feedback says.",
    ),
}


def arms_of(config: Mapping[str, Any]) -> tuple[Arm, ...]:
    """The arms that a resolved recipe, as tables, amounts to; empty for a treatment."""

    def value(section: str, key: str, default: Any) -> Any:
        return config.get(section, {}).get(key, default)

    method = value("train", "method", "rl")
    if method == "copy":
        return (Arm.COPY,)
    arms: list[Arm] = []
    if method == "sft":
        arms.append(Arm.SFT)
    else:
        if value("reward", "control", "none") != "none":
            arms.append(Arm(value("reward", "control", "none")))
        if value("train", "num_tasks", 0):
            arms.append(Arm.ONE_EXAMPLE)
        told = value("feedback", "control", "none")
        if told != "none" and value("feedback", "arm", "none") != "none":
            arms.append(Arm(f"{told}-feedback"))
    if value("model", "init", "pretrained") == "random":
        arms.append(Arm.SCRATCH)
    if not arms and value("control", "of", None):
        arms.append(Arm.SEED)
    return tuple(arms)


def title_of(arm: Arm, num_train_tasks: int) -> str:
    if arm is Arm.ONE_EXAMPLE:
        return "one training task" if num_train_tasks == 1 else f"{num_train_tasks} training tasks"
    return WORDS[arm].title


def lacks_of(arm: Arm, num_train_tasks: int) -> str:
    if arm is Arm.ONE_EXAMPLE:
        which = "one task" if num_train_tasks == 1 else f"{num_train_tasks} tasks"
        return f"Every step drew from the same {which}."
    return WORDS[arm].lacks


def control_name(arms: Sequence[Arm], num_train_tasks: int) -> str:
    """Short, for tables; `none` for a treatment.  Runs of one name may differ in seeds."""
    names = [
        f"{num_train_tasks}-examples"
        if arm is Arm.ONE_EXAMPLE and num_train_tasks > 1
        else arm.value
        for arm in arms
        if arm is not Arm.SEED
    ]
    return "+".join(names) or "none"


def num_train_tasks(config: Mapping[str, Any]) -> int:
    """Tasks that training was limited to, by a resolved recipe as tables; 0: not limited."""
    return int(config.get("train", {}).get("num_tasks", 0))
