"""Where things are printed: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from proofloop.core.codec import to_json

if TYPE_CHECKING:
    from rich.console import Console


PLAIN_WIDTH = 120
EXIT_INTERRUPTED = 130


def print_json(value: Any) -> None:
    """One JSON document, indented for people who look at it anyway."""
    sys.stdout.write(msgspec.json.format(to_json(value), indent=2).decode() + "\n")


def print_row(value: Any) -> None:
    """One line of JSON Lines."""
    sys.stdout.write(to_json(value).decode() + "\n")


def note(message: str) -> None:
    """A line for the person, on standard error."""
    print(message, file=sys.stderr)


def console() -> Console:
    """For results, on standard output; in a file or pipe, wide enough for our tables."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
