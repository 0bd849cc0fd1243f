"""The panel: every attack and every oddity against an environment's own problems, beside the
oracle, blank answers and random text.

`trials` says what to try, a verifier judges, `row_of` says what came of it.  Pure but for the
verifier; nothing here knows where problems come from or how many verifiers there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from proofloop.core.record import Record
from proofloop.core.task import Problem, TaskId
from proofloop.core.verdict import Scored, Unscored, Verdict
from proofloop.core.verifier import Verifier
from proofloop.verify.audit.attack import Attack
from proofloop.verify.audit.attacks import ATTACKS
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.honest import ODDITIES, Oddity
from proofloop.verify.audit.kinds import fixtures_of
from proofloop.verify.audit.target import oracle_of


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


def random_texts(seed: str) -> dict[str, str]:
    """Text without any thought, of kinds that a policy may fall into."""
    rng = Random(seed)
    printable = "".join(chr(rng.randint(32, 126)) for _ in range(200))
    anything = "".join(
        chr(rng.choice((rng.randint(1, 127), rng.randint(128, 0xD7FF)))) for _ in "x" * 200
    )
    soup = " ".join(rng.choice(_WORDS) for _ in range(100))
    return {"printable": printable, "anything": anything, "soup": soup}


def trials(
    problems: Sequence[Problem],
    *,
    attacks: Sequence[Attack] = ATTACKS,
    oddities: Sequence[Oddity] = ODDITIES,
) -> Iterator[Trial]:
    """All of it, problem by problem; costly attacks and oddities meet one problem each, in turn.
    `attacks` and `oddities` are those on functions; other kinds of tests have their own.  Raises
    UserError for a problem without an oracle."""
    turns: dict[tuple[Kind, str], int] = {}
    for place, problem in enumerate(problems):
        for fixture in _fixtures(problem, attacks, oddities):
            if fixture.costly:
                turn = turns.setdefault((fixture.kind, fixture.name), len(turns))
                if turn % len(problems) != place:
                    continue
            yield Trial(
                kind=fixture.kind,
                row=fixture.row,
                name=fixture.name,
                problem=problem,
                answer=fixture.answer,
            )


def _fixtures(
    problem: Problem, attacks: Sequence[Attack], oddities: Sequence[Oddity]
) -> Iterator[Fixture]:
    yield Fixture(kind=Kind.ORACLE, name="oracle", answer=oracle_of(problem))
    for name, text in BLANKS.items():
        yield Fixture(kind=Kind.BLANK, name=name, answer=text)
    for name, text in random_texts(problem.task.id).items():
        yield Fixture(kind=Kind.RANDOM, name=name, answer=text)
    yield from fixtures_of(problem, attacks, oddities)


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
