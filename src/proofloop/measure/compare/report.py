"""The whole comparison: sections in order, the answer, and the files they leave."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofloop.measure.compare.answer import RULES, Answer, answer
from proofloop.measure.compare.bits import Missing, bits, ledger_of
from proofloop.measure.compare.dials import dials
from proofloop.measure.compare.files import write_sections
from proofloop.measure.compare.ledger import ledger
from proofloop.measure.compare.nines import nines
from proofloop.measure.compare.parts import parts
from proofloop.measure.compare.passing import passing
from proofloop.measure.compare.section import Section, plain
from proofloop.measure.compare.settings import settings
from proofloop.measure.compare.sides import Sides
from proofloop.measure.compare.writing import writing


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found, section by section."""

    title: str
    answer: Answer
    notes: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        facts = {
            "compared": self.title,
            "answer": self.answer,
            "rules": RULES,
            "notes": self.notes,
            "sections": {section.title: section.facts for section in self.sections},
        }
        return plain(facts)


def compare(sides: Sides) -> Comparison:
    solved, changed = passing(sides), ledger(sides)
    found = ledger_of(sides)
    first = sides.subject.name
    sections = (
        settings(sides),
        solved,
        changed,
        bits(sides),
        parts(sides),
        writing(sides),
        nines(sides),
        dials(sides),
    )
    return Comparison(
        title=f"{', '.join(side.name for side in sides.trained)} against {sides.base.name}",
        answer=answer(
            sides,
            solved.facts["difference_at_k"][first].get("1"),
            solved.facts["crossover"],
            changed.facts["turnover"][first],
            None if isinstance(found, Missing) else found,
        ),
        notes=sides.notes,
        sections=tuple(section for section in sections if section is not None),
    )


def write_comparison(found: Comparison, directory: Path) -> Path:
    """`compare.html`, `compare.json`, and every figure as SVG with its CSV beside it.

    Raises UserError where they cannot be written."""
    return write_sections(
        directory,
        "compare",
        heading=found.answer.finding.capitalize(),
        subtitle=found.title,
        notes=(found.answer.says, *found.notes),
        fine=RULES,
        sections=found.sections,
        facts=found.facts,
    )
