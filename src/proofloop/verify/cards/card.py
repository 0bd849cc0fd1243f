"""The card of a kind of check: a key, and answers with the verdict that each must earn, and why.

Data, and one shape for every kind.  `tests/local/test_cards.py` runs each card on every tier; an
attack or an honest answer that is found later becomes a line of a card.
"""

import random
import re
from dataclasses import dataclass, replace

from proofloop.core.task import Tests
from proofloop.core.verdict import ScoredCause

_ROW = re.compile(r"([A-K][0-9]*)(?:-|: )")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer and the cause it must get; several where the kernel's mood decides."""

    name: str
    answer: str
    causes: tuple[ScoredCause, ...]
    why: str
    reward: float = 0.0
    """Of an answer that does not pass; more than 0 only where the tests give partial credit."""

    @property
    def row(self) -> str:
        """The catalogue's, where the name ("E6-forged") or `why` ("E6: …") begins with one."""
        found = _ROW.match(self.name) or _ROW.match(self.why)
        return found[1] if found else ""

    def about(self, solution: str) -> "Case":
        """With `solution` for `$SOLUTION` in the answer."""
        return replace(self, answer=self.answer.replace("$SOLUTION", solution))


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What must hold of one key: the gold answer and all of `accepted` earn 1; a blank, a shuffled
    gold answer and all of the others do not pass, for one of their causes; nothing is unscored."""

    name: str
    tests: Tests
    gold: str
    accepted: tuple[Case, ...] = ()
    rejected: tuple[Case, ...] = ()
    """Honest mistakes."""
    adversarial: tuple[Case, ...] = ()
    """Answers that want the reward without the work, or the verifier's harm."""
    prefix: str = ""
    """What the answer may continue (`Task.answer_prefix`)."""
    programs: tuple[str, ...] = ()
    """What must be on the machine's PATH for this card to say anything, such as a compiler."""

    @property
    def shuffled(self) -> str:
        """The gold answer in another order, by lines where it has some, and not the gold answer."""
        lines = self.gold.splitlines(keepends=True)
        parts = lines if len(lines) > 2 else list(self.gold)
        dice = random.Random(self.name)
        for _ in range(100):
            dice.shuffle(parts)
            if (text := "".join(parts)) != self.gold:
                return text
        raise ValueError(f"{self.name}: every order of the gold answer is the gold answer")


def passes(name: str, why: str, answer: str) -> Case:
    return Case(name=name, answer=answer, causes=(ScoredCause.PASSED,), why=why)


def fails(name: str, why: str, answer: str, *causes: ScoredCause, reward: float = 0.0) -> Case:
    return Case(name=name, answer=answer, causes=causes, why=why, reward=reward)
