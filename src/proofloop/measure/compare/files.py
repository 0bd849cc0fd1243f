"""The files that a set of sections leaves: a page, its facts as JSON, figures with their data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proofloop.core import codec
from proofloop.core.errors import UserError
from proofloop.measure.compare.section import Section, plain
from proofloop.measure.page import render


def write_sections(
    directory: Path,
    stem: str,
    *,
    heading: str,
    subtitle: str,
    sections: Sequence[Section],
    facts: Mapping[str, Any],
    notes: Sequence[str] = (),
    fine: str = "",
) -> Path:
    """`stem`.html and `stem`.json in `directory`, and every figure as SVG with its CSV beside it.

    Gives the page.  Raises UserError where they cannot be written."""
    page = render(
        "sections.html.jinja",
        heading=heading,
        subtitle=subtitle,
        notes=notes,
        fine=fine,
        sections=sections,
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for section in sections:
            for drawn in section.figures:
                drawn.figure.save(directory / drawn.name)
        (directory / f"{stem}.json").write_bytes(codec.to_json(plain(facts)))
        path = directory / f"{stem}.html"
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be written ({error.strerror}); name another directory with --out"
        ) from error
    return path
