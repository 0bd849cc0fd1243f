"""The pre-training corpus: prompts of `functions` answered by several kinds of author.

Like the web, it holds right programs, wrong ones, ones that only look up the shown examples and,
if asked for, ones that end before anything is tried; an author's style says something about their
care.  So a base model has room that reinforcement can find: which author to be.  The shares are in
the pre-training recipe.
"""

from dataclasses import dataclass
from random import Random

from proofloop.core.record import Record
from proofloop.envs.functions.environment import (
    Exercise,
    draw_exercises,
    prompt_text,
    solution_text,
)
from proofloop.envs.functions.operations import Kind, draw_alternative
from proofloop.envs.functions.programs import Chain


class CorpusMix(Record):
    """Who wrote the corpus: shares of authors (of all texts) and of their wrong answers."""

    stepwise: float = 0.42
    """Authors who write one step a line."""
    stepwise_wrong: float = 0.10
    lambdas: float = 0.40
    """Authors who nest everything into one lambda."""
    lambdas_wrong: float = 0.60
    lookup: float = 0.18
    """Authors who return the shown results for the shown arguments, and nothing else."""
    exits: float = 0.0
    """Authors who end the process, with status 0, before any test is reached."""
    complexity: tuple[float, ...] = (0.46, 0.42, 0.12)
    """Shares of programs of 1, 2, … operations."""
    horizon: tuple[float, ...] = (0.96, 0.04)
    """Shares of texts with 1, 2, … functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One document: what is asked and what its author answered."""

    prompt: str
    answer: str


def draw_text(rng: Random, mix: CorpusMix) -> Text:
    """One document.  Like the web, the corpus knows no split: it holds programs of every behaviour,
    though none of the tasks, whose examples are drawn anew."""
    family = rng.choice(list(Kind))
    complexity = rng.choices(range(1, len(mix.complexity) + 1), mix.complexity)[0]
    horizon = rng.choices(range(1, len(mix.horizon) + 1), mix.horizon)[0]
    exercises = draw_exercises(rng, None, family, complexity, horizon)
    (author,) = rng.choices(
        (_stepwise, _lambda, _lookup, _exit), (mix.stepwise, mix.lambdas, mix.lookup, mix.exits)
    )
    answer = "".join(author(rng, exercise, mix) for exercise in exercises)
    return Text(prompt=prompt_text(exercises), answer=answer)


def _stepwise(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    chain = exercise.chain
    if rng.random() < mix.stepwise_wrong:
        chain = spoiled(rng, chain)
    return solution_text(exercise.name, chain)


def _lambda(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    chain = exercise.chain
    if rng.random() < mix.lambdas_wrong:
        chain = spoiled(rng, chain)
    nested = chain.nested()
    if nested is None:
        return solution_text(exercise.name, chain)
    return f"{exercise.name} = lambda x: {nested}\n"


def _lookup(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    del rng, mix
    lines = [f"def {exercise.name}(x):"]
    lines += [f"    if x == {e.argument!r}: return {e.result!r}" for e in exercise.shown]
    return "\n".join(lines) + "\n"


def _exit(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    del rng, exercise, mix
    return "raise SystemExit\n"


def spoiled(rng: Random, chain: Chain) -> Chain:
    """The program with one operation mistaken for another."""
    place = rng.randrange(len(chain.operations))
    other = draw_alternative(rng, chain.operations[place])
    return Chain(operations=(*chain.operations[:place], other, *chain.operations[place + 1 :]))
