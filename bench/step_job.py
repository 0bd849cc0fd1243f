"""What every contender of `step.py` is asked to do, and how it answers.

No import beyond the standard library: the same file serves an interpreter that has only TRL.

A contender in its own process reads the job from a file, warms up, prints `ready`, then makes one
step for every line that it reads and prints one StepTime as JSON; end of input ends it.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MATRIX_SIZE = 1536


@dataclass(frozen=True)
class Prompt:
    text: str
    tokens: list[int]


@dataclass(frozen=True)
class Job:
    """One step: sample every prompt `samples_per_prompt` times, one optimiser step over it all."""

    prompts: list[Prompt]
    samples_per_prompt: int
    completion_tokens: int
    learning_rate: float = 1e-5

    @property
    def num_rollouts(self) -> int:
        return len(self.prompts) * self.samples_per_prompt

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Job":
        fields = json.loads(path.read_text())
        fields["prompts"] = [Prompt(**p) for p in fields["prompts"]]
        return cls(**fields)


@dataclass(frozen=True)
class StepTime:
    seconds: float
    sample_s: float
    train_s: float
    sampled_tokens: int
    trained_tokens: int


def reward(tokens: Sequence[int]) -> float:
    """Costs next to nothing and differs within a group: only the model's work is compared."""
    return len(set(tokens)) / len(tokens)


def answer_steps(step: Callable[[], StepTime]) -> None:
    """The process side of the protocol, for contenders that are called."""
    say_ready()
    for _ in sys.stdin:
        say(step())


# Libraries print to standard output as they please; answers go to what it was at the start.
_ANSWERS = os.fdopen(os.dup(1), "w")


def say_ready() -> None:
    print("ready", file=_ANSWERS, flush=True)


def say(time: StepTime) -> None:
    print(json.dumps(asdict(time)), file=_ANSWERS, flush=True)
