"""From an answer's text to the program in it.  Text only: nothing here compiles or executes what a
model wrote, and no rule refuses a program for what it says.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from proofloop.core.language import PYTHON

_FENCE = re.compile(r"^([ \t]*)(`{3,})([^`]*)$")


class Block(NamedTuple):
    """A complete fenced block, or what lies between two of them (`tag` None)."""

    tag: str | None
    text: str


def program_text(
    answer: str, names: Iterable[str] = (), tags: Collection[str] = PYTHON.fences
) -> str:
    """The last complete block in the language that defines all `names`; where none does, all blocks
    together if those do, the answer itself if what lies outside of blocks does (a docstring may
    show a block), else the last block, else the answer.

    A fence is a line that begins, after spaces, with three back-ticks or more; it is closed by one
    at least as long.  In the language by its tag, or without one; but where nothing tells a program
    from the output that it shows (no `names`), a block with a tag goes before those without.  The
    fence's own indentation is not the block's: a block may stand in a list.
    """
    names = tuple(names)
    answer = answer.removeprefix("\ufeff")
    parts = tuple(_parts(answer))
    blocks = [part.text for part in parts if part.tag in tags]
    if names or not blocks:
        blocks = [part.text for part in parts if part.tag == "" or part.tag in tags]
    if not blocks:
        return answer
    together = "\n".join(blocks)
    for text in (*reversed(blocks), together):
        if all(defines(text, name) for name in names):
            return text
    outside = "".join(part.text for part in parts if part.tag is None)
    return answer if all(defines(outside, name) for name in names) else blocks[-1]


def fenced_blocks(answer: str) -> list[Block]:
    """The complete fenced blocks, in order, whatever their language."""
    return [part for part in _parts(answer.removeprefix("\ufeff")) if part.tag is not None]


def _parts(answer: str) -> Iterator[Block]:
    lines = answer.splitlines(keepends=True)
    never_closed = len(answer) + 1  # fences of this length or more; so that no text takes long
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at].rstrip())
        end: int | None = None
        if fence is not None and len(fence[2]) < never_closed:
            end = _closing(lines, at, len(fence[2]))
            if end is None:
                never_closed = len(fence[2])
        if fence is None or end is None:
            yield Block(None, lines[at])
            at += 1
            continue
        words = fence[3].split()
        indent = re.compile(rf"^[ \t]{{0,{len(fence[1])}}}")
        text = "".join(indent.sub("", line) for line in lines[at + 1 : end])
        yield Block(words[0].lower() if words else "", text)
        at = end + 1


def _closing(lines: list[str], opened: int, length: int) -> int | None:
    """The line that closes the fence at line `opened`; None where it is never closed."""
    for at in range(opened + 1, len(lines)):
        fence = _FENCE.match(lines[at].rstrip())
        if fence is not None and len(fence[2]) >= length and not fence[3].strip():
            return at
    return None


def defines(text: str, name: str) -> bool:
    """Whether some line of `text`, at the left margin, reads as a definition of `name`."""
    pattern = (
        rf"^(?:(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b"
        rf"|{re.escape(name)}\s*(?::[^=\n]*)?=(?!=))"
    )
    return re.search(pattern, text, re.MULTILINE) is not None


def assemble(answer: str, prefix: str, names: Iterable[str]) -> str | None:
    """The program that the answer stands for; None where there is nothing to run.

    An answer that defines all `names` stands alone; any other one continues `prefix`.
    """
    names = tuple(names)
    text = program_text(answer, names)
    if not text.strip():
        return None
    if prefix and not all(defines(text, name) for name in names):
        return prefix + text
    return text
