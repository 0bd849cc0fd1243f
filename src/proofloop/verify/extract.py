"""From an answer's text to the program in it.  Text only: nothing here compiles or executes what a
model wrote, and no rule refuses a program for what it says.
"""

import re
from collections.abc import Iterable

_PYTHON_TAGS = ("", "python", "python3", "py")


def program_text(answer: str) -> str:
    """The last complete fenced block that is Python by its tag (or has none), else the answer.

    A fence is a line that begins, after spaces, with three backticks.
    """
    block: str | None = None
    opened: tuple[str, list[str]] | None = None
    for line in answer.splitlines(keepends=True):
        mark = line.strip()
        if mark.startswith("```"):
            if opened is None:
                words = mark.strip("`").split()
                opened = (words[0].lower() if words else "", [])
            else:
                if opened[0] in _PYTHON_TAGS:
                    block = "".join(opened[1])
                opened = None
        elif opened is not None:
            opened[1].append(line)
    return answer if block is None else block


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
    text = program_text(answer)
    if not text.strip():
        return None
    if prefix and not all(defines(text, name) for name in names):
        return prefix + text
    return text
