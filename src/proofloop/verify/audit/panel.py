"""The panel: every attack and every oddity against an environment's own problems, beside the
oracle, blank answers and random text.

`trials` says what to try, a verifier judges, `row_of` says what came of it.  Pure but for the
verifier; nothing here knows where problems come from or how many verifiers there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from proofloop.core.record import Record
from proofloop.core.task import CallTests, Problem, TaskId
from proofloop.core.verdict import Scored, Unscored, Verdict
from proofloop.core.verifier import Verifier
from proofloop.verify.audit.attack import Attack
from proofloop.verify.audit.attacks import ATTACKS
from proofloop.verify.audit.honest import ODDITIES, Oddity
from proofloop.verify.audit.target import Target, oracle_of, target_of


class Kind(StrEnum):
    """What is tried; an answer of the first two must earn 1, any other must earn 0."""

    ORACLE = "oracle"
    HONEST = "honest"
    ATTACK = "attack"
    BLANK = "blank"
    RANDOM = "random"

    @property
    def is_right(self) -> bool:
        return self in (Kind.ORACLE, Kind.HONEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One answer to one problem."""

    kind: Kind
    row: str
    """The catalogue's, of an attack; else empty."""
    name: str
    problem: Problem
    answer: str


class TrialRow(Record):
    """What came of one trial."""

    kind: Kind
    row: str
    name: str
    task_id: TaskId
    verdict: Verdict

    @property
    def passed(self) -> bool:
        return isinstance(self.verdict, Scored) and self.verdict.passed

    @property
    def escaped(self) -> bool:
        """A wrong answer that passed."""
        return not self.kind.is_right and self.passed

    @property
    def evaded(self) -> bool:
        """A wrong answer that bought itself out of its score."""
        return not self.kind.is_right and isinstance(self.verdict, Unscored)

    @property
    def refused(self) -> bool:
        """A right answer that did not pass."""
        return self.kind.is_right and not self.passed


BLANKS = {
    "empty": "",
    "white-space": " \n\t\n",
    "comment": "# I do not know.\n",
    "empty-block": "```python\n```\n",
    "words": "I am sorry, but I cannot solve this task.",
    "pass": "pass\n",
}


_WORDS = (
    "def",
    "return",
    "if",
    "x",
    "(",
    ")",
    "[",
    "]",
    ":",
    "=",
    "+",
    "1",
    "f",
    "for",
    "in",
    "\n",
)


def random_texts(target: Target, seed: str) -> dict[str, str]:
    """Text without any thought, of kinds that a policy may fall into."""
    rng = Random(seed)
    printable = "".join(chr(rng.randint(32, 126)) for _ in range(200))
    anything = "".join(
        chr(rng.choice((rng.randint(1, 127), rng.randint(128, 0xD7FF)))) for _ in "x" * 200
    )
    soup = " ".join(rng.choice(_WORDS) for _ in range(100))
    constant = "".join(
        f"def {f.name}(*args):\n    return {rng.randint(10**9, 10**10)}\n" for f in target.functions
    )
    return {"printable": printable, "anything": anything, "soup": soup, "constant": constant}


def trials(
    problems: Sequence[Problem],
    *,
    attacks: Sequence[Attack] = ATTACKS,
    oddities: Sequence[Oddity] = ODDITIES,
) -> Iterator[Trial]:
    """All of it, problem by problem; costly attacks and oddities meet one problem each, in turn."""
    costly = [item for item in (*attacks, *oddities) if item.costly]
    place_of = {id(item): place % len(problems) for place, item in enumerate(costly)}
    for place, problem in enumerate(problems):
        target = target_of(problem)

        def trial(
            kind: Kind, name: str, answer: str, row: str = "", problem: Problem = problem
        ) -> Trial:
            return Trial(kind=kind, row=row, name=name, problem=problem, answer=answer)

        yield trial(Kind.ORACLE, "oracle", oracle_of(problem))
        for name, text in BLANKS.items():
            yield trial(Kind.BLANK, name, text)
        for name, text in random_texts(target, problem.task.id).items():
            yield trial(Kind.RANDOM, name, text)
        for oddity in oddities:
            if place_of.get(id(oddity), place) == place:
                yield trial(Kind.HONEST, oddity.name, oddity.write(target))
        is_strict = isinstance(problem.key.tests, CallTests)
        for attack in attacks:
            if place_of.get(id(attack), place) == place and (is_strict or not attack.strict_only):
                yield trial(Kind.ATTACK, attack.name, attack.answer(target), attack.row)


def row_of(trial: Trial, verdict: Verdict) -> TrialRow:
    return TrialRow(
        kind=trial.kind,
        row=trial.row,
        name=trial.name,
        task_id=trial.problem.task.id,
        verdict=verdict,
    )


def run_panel(verifier: Verifier, tried: Iterator[Trial]) -> Iterator[TrialRow]:
    """One after the other, through one verifier."""
    for trial in tried:
        task, key = trial.problem.task, trial.problem.key
        yield row_of(trial, verifier.verify(task, key, trial.answer))
