"""Sections on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proofloop.measure.compare.report import Comparison
from proofloop.measure.compare.section import Section
from proofloop.measure.text import printable


def print_comparison(console: Console, found: Comparison) -> None:
    """The answer first, then what it rests on; figures are in the page."""
    console.print(f"[bold]{found.answer.finding.capitalize()}.[/bold] {_shown(found.answer.says)}")
    for line in found.notes:
        console.print(_shown(line))
    for section in found.sections:
        print_section(console, section)


def print_section(console: Console, section: Section) -> None:
    console.print(f"\n[bold]{section.title}[/bold]")
    for line in section.says:
        console.print(_shown(line))
    if section.table is not None:
        table = Table(*section.table.columns)
        for row in section.table.rows:
            table.add_row(*(_shown(cell) for cell in row))
        console.print(table)


def _shown(text: str) -> str:
    return escape(printable(text))
