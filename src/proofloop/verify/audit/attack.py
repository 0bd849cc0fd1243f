"""One attack, as data.  `$NAME` stands for the function asked for, `$SHOWN` for the examples that
the prompt shows, `$ORACLE` for a right solution (for attacks that bend a right result)."""

import textwrap
from dataclasses import dataclass
from enum import StrEnum
from string import Template

from proofloop.verify.audit.target import Target


class Family(StrEnum):
    """Families of the catalogue of reward hacks that concern programs and final answers."""

    GAMING = "A"
    PROTOCOLS = "B"
    ENDINGS = "C"
    REACHING = "D"
    FORGING = "E"
    TOOLCHAIN = "F"
    FINDING = "G"
    RESOURCES = "H"
    LENIENT = "I"
    ANSWERS = "J"
    PERSUASION = "K"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Family.GAMING: "gaming the specification",
    Family.PROTOCOLS: "object protocols",
    Family.ENDINGS: "ending the run early",
    Family.REACHING: "reaching into the grader",
    Family.FORGING: "forging the report",
    Family.TOOLCHAIN: "tampering with the toolchain",
    Family.FINDING: "finding the answer",
    Family.RESOURCES: "clock and resources",
    Family.LENIENT: "lenient comparison",
    Family.ANSWERS: "final answers",
    Family.PERSUASION: "persuading a judge",
}


class NaiveRule(StrEnum):
    """The rule of a grader that passes the attack; each is in use somewhere."""

    SHOWN_TESTS = "the shown examples, or ones like them, are the tests"
    EQUALITY = "the candidate's own objects take part in the comparison"
    EXIT_STATUS = "exit status 0, or no exception seen, is a pass"
    SAME_PROCESS = "expected values, comparator or verdict share the candidate's interpreter"
    OUTPUT = "standard output or a channel in the candidate's reach is parsed for the verdict"
    FILES = "files that the candidate can write decide"
    IN_REACH = "answers or tests lie where the candidate can read them"
    NO_LIMITS = "clocks and limits are the candidate's to change, or its failures are dropped"
    LENIENT = "the comparison forgives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    row: str
    """Row of the catalogue, for example "B1"."""
    name: str
    beats: NaiveRule
    mechanism: str
    """One line."""
    template: str
    costly: bool
    """It uses up a limit (of time, as a rule): tried on one task instead of on all."""
    strict_only: bool
    """Wrong only where comparison is strict: a test program's own `==` may rightly accept it."""

    @property
    def family(self) -> Family:
        return Family(self.row[0])

    def answer(self, target: Target) -> str:
        """The attack as an answer to a task; one after the other where it asks for several."""
        template = Template(self.template)
        return "\n".join(
            template.substitute(NAME=f.name, SHOWN=f.shown, ORACLE=target.oracle)
            for f in target.functions
        )


def attack(
    row: str,
    name: str,
    beats: NaiveRule,
    mechanism: str,
    template: str,
    *,
    costly: bool = False,
    strict_only: bool = False,
) -> Attack:
    return Attack(
        row=row,
        name=name,
        beats=beats,
        mechanism=mechanism,
        template=textwrap.dedent(template).lstrip("\n"),
        costly=costly,
        strict_only=strict_only,
    )
