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
    label: str = ""
    """What follows the tag on the fence's line."""


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
    if "```" not in answer:
        return answer
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


def labelled_blocks(answer: str) -> list[tuple[str, str]]:
    """(label, text) of every complete block whose fence says more than a tag, such as a path:
    "```python package/module.py"."""
    parts = _parts(answer.removeprefix("\ufeff"))
    return [(part.label, part.text) for part in parts if part.tag is not None and part.label]


def _parts(answer: str) -> Iterator[Block]:
    """Linear in the answer: which fences are never closed is known beforehand."""
    lines = answer.splitlines(keepends=True)
    fences = [_fence(line) for line in lines]
    longest_after = _longest_closing_after(fences)
    at = 0
    while at < len(lines):
        fence = fences[at]
        if fence is None or len(fence[2]) > longest_after[at]:
            yield Block(None, lines[at])
            at += 1
            continue
        end = at + 1
        while not _closes(fences[end], len(fence[2])):
            end += 1
        words = fence[3].split()
        most = len(fence[1])
        text = "".join(_outdented(line, most) for line in lines[at + 1 : end])
        yield Block(words[0].lower() if words else "", text, " ".join(words[1:]))
        at = end + 1


def _fence(line: str) -> re.Match[str] | None:
    return _FENCE.match(line.rstrip()) if "```" in line else None


def _closes(fence: re.Match[str] | None, length: int) -> bool:
    return fence is not None and len(fence[2]) >= length and not fence[3].strip()


def _longest_closing_after(fences: list[re.Match[str] | None]) -> list[int]:
    """For each line, the length of the longest fence below it that can close a block."""
    longest, below = 0, [0] * len(fences)
    for at in range(len(fences) - 1, -1, -1):
        below[at] = longest
        fence = fences[at]
        if fence is not None and _closes(fence, longest + 1):
            longest = len(fence[2])
    return below


def _outdented(line: str, most: int) -> str:
    """Without blanks at its start, up to `most` of them."""
    num_blanks = len(line) - len(line.lstrip(" \t"))
    return line[min(most, num_blanks) :]


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
