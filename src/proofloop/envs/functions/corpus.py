"""The pre-training corpus: prompts of `functions` answered by several kinds of author.

Like the web, it holds right programs, wrong ones, ones that only look up the shown examples and,
if asked for, ones that end before anything is tried; an author's style says something about their
care.  So a base model has room that reinforcement can find: which author to be.  The shares are in
the pre-training recipe.

If asked for, it holds second attempts, too: a wrong program, what the shown tests say of it in the
words of `core.feedback`, and a right one.  Who has never read feedback cannot learn from it.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from proofloop.core.feedback import (
    BARE,
    MAX_SHOWN,
    Feedback,
    ShownTest,
    call_text,
    feedback_text,
    value_text,
)
from proofloop.core.record import Record
from proofloop.core.verdict import ScoredCause
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
    families: tuple[str, ...] = ("int", "list", "string")
    """Type families that programs are drawn from, equally often."""
    complexity: tuple[float, ...] = (0.46, 0.42, 0.12)
    """Shares of programs of 1, 2, … operations."""
    horizon: tuple[float, ...] = (0.96, 0.04)
    """Shares of texts with 1, 2, … functions."""
    feedback: float = 0.0
    """Share of texts that go on: a wrong program, what the shown tests say of it, a right one."""
    feedback_bare: float = 0.25
    """Share of those in which nothing is said but that it was wrong."""
    episodes: float = 0.0
    """Share of texts that repair a mini-repository (`envs.minirepos.corpus`), with as many bugs as
    `horizon` says."""
    forgotten: float = 0.0
    """Of wrong programs of several operations, those that lack the last one; in all others, and in
    three of ten of these, one is mistaken for another."""


_FORGOTTEN_AND_MISTAKEN = 0.3
"""Of programs that lack their last operation, those that are wrong besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One document: what is asked and what its author answered."""

    prompt: str
    answer: str
    earlier: tuple[tuple[str, str], ...] = ()
    """Wrong answers before that one, each with what was said of it."""


def draw_text(rng: Random, mix: CorpusMix) -> Text:
    """One document.  Like the web, the corpus knows no split: it holds programs of every behaviour,
    though none of the tasks, whose examples are drawn anew."""
    family = Kind(rng.choice(mix.families))
    complexity = rng.choices(range(1, len(mix.complexity) + 1), mix.complexity)[0]
    horizon = rng.choices(range(1, len(mix.horizon) + 1), mix.horizon)[0]
    exercises = draw_exercises(rng, None, family, complexity, horizon)
    if mix.feedback and rng.random() < mix.feedback:
        return _second_attempt(rng, exercises, mix)
    (author,) = rng.choices(
        (_stepwise, _lambda, _lookup, _exit), (mix.stepwise, mix.lambdas, mix.lookup, mix.exits)
    )
    answer = "".join(author(rng, exercise, mix) for exercise in exercises)
    return Text(prompt=prompt_text(exercises), answer=answer)


def _stepwise(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    chain = exercise.chain
    if rng.random() < mix.stepwise_wrong:
        chain = _mistaken(rng, chain, mix)
    return solution_text(exercise.name, chain)


def _lambda(rng: Random, exercise: Exercise, mix: CorpusMix) -> str:
    chain = exercise.chain
    if rng.random() < mix.lambdas_wrong:
        chain = _mistaken(rng, chain, mix)
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


def _mistaken(rng: Random, chain: Chain, mix: CorpusMix) -> Chain:
    """Another program: an operation mistaken for another, or the last one forgotten, or both.  What
    a program that only lacks its last step gives lies one step from what is wanted: there feedback
    tells most."""
    if mix.forgotten and len(chain.operations) > 1 and rng.random() < mix.forgotten:
        shorter = Chain(operations=chain.operations[:-1])
        return spoiled(rng, shorter) if rng.random() < _FORGOTTEN_AND_MISTAKEN else shorter
    return spoiled(rng, chain)


def spoiled(rng: Random, chain: Chain) -> Chain:
    """The program with one operation mistaken for another."""
    place = rng.randrange(len(chain.operations))
    other = draw_alternative(rng, chain.operations[place])
    return Chain(operations=(*chain.operations[:place], other, *chain.operations[place + 1 :]))


def _second_attempt(rng: Random, exercises: tuple[Exercise, ...], mix: CorpusMix) -> Text:
    """A wrong program, what is said of it, and a right one; functions that were right stay."""
    wrong: list[str] = []
    right: list[str] = []
    tested: list[tuple[Exercise, Chain | None]] = []
    for exercise, fails in zip(exercises, _which_fail(rng, len(exercises)), strict=True):
        chain = _mistaken(rng, exercise.chain, mix) if fails else exercise.chain
        looks_up = fails and rng.random() < mix.lookup
        text = _lookup(rng, exercise, mix) if looks_up else _written(rng, exercise, chain, mix)
        wrong.append(text)
        right.append(solution_text(exercise.name, exercise.chain) if fails else text)
        tested.append((exercise, None if looks_up else chain))
    said = BARE if rng.random() < mix.feedback_bare else _feedback(tested)
    return Text(
        prompt=prompt_text(exercises),
        answer="".join(right),
        earlier=(("".join(wrong), feedback_text(said)),),
    )


def _which_fail(rng: Random, number: int) -> list[bool]:
    """Of several functions each as often as not, and one at least: where it is, is what the tests
    tell and `# try again` does not."""
    fails = [number == 1 or rng.random() < 0.5 for _ in range(number)]
    return fails if any(fails) else _which_fail(rng, number)


def _written(rng: Random, exercise: Exercise, chain: Chain, mix: CorpusMix) -> str:
    by_lambda = rng.random() * (mix.stepwise + mix.lambdas) < mix.lambdas
    nested = chain.nested() if by_lambda else None
    if nested is None:
        return solution_text(exercise.name, chain)
    return f"{exercise.name} = lambda x: {nested}\n"


def _feedback(tested: list[tuple[Exercise, Chain | None]]) -> Feedback:
    """As the verifier says it of programs whose results are known; None: those that are wanted."""
    shown = tuple(
        _shown(exercise.name, argument, wanted, wanted if chain is None else chain(argument))
        for exercise, chain in tested
        for argument, wanted in exercise.shown
    )
    passed = all(test.passed for test in shown)
    return Feedback(
        cause=ScoredCause.PASSED if passed else ScoredCause.WRONG_ANSWER, shown=shown[:MAX_SHOWN]
    )


def _shown(name: str, argument: Any, wanted: Any, got: Any) -> ShownTest:
    return ShownTest(
        call=call_text(name, (argument,)),
        wanted=f"== {value_text(wanted)}",
        got=f"gave {value_text(got)}",
        passed=value_text(got) == value_text(wanted),
    )
