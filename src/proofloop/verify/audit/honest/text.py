"""The same program as other text: fences, prose, line endings, indentation, comments."""

import ast
import re

from proofloop.verify.audit.honest.oddity import Oddity, rewritten
from proofloop.verify.audit.target import Target


def _fenced(tag: str, code: str) -> str:
    return f"```{tag}\n{code.rstrip()}\n```\n"


def _plain(code: str) -> str:
    """One statement a line, four spaces, no comments."""
    return ast.unparse(ast.parse(code)) + "\n"


def _indented(code: str, unit: str) -> str:
    def indent(match: re.Match[str]) -> str:
        return unit * (len(match[0]) // 4)

    return re.sub(r"^(?: {4})+", indent, _plain(code), flags=re.MULTILINE)


def _continuation(target: Target) -> str:
    """Only what follows the prompt, where the prompt is the beginning of a program."""
    return target.oracle.removeprefix(target.prefix) if target.prefix else target.oracle


def _list_item(code: str) -> str:
    lines = "".join(f"   {line}\n" if line else "\n" for line in code.rstrip().split("\n"))
    return f"1. The code:\n\n   ```python\n{lines}   ```\n2. That is all.\n"


def _example(target: Target) -> str:
    calls = "\n".join(f"print({function.name})" for function in target.functions)
    return f"{_fenced('python', target.oracle)}\nUsage:\n\n{_fenced('python', calls)}"


def _documented(target: Target) -> str:
    return '"""Examples\n\n```\n>>> 1 + 1\n2\n```\n"""\n' + _plain(target.oracle)


def _returns_nothing(code: str) -> str:
    return re.sub(r"(?m)^    return .*$", "    return None", _plain(code))


def _constants(code: str) -> str:
    """A module constant of every kind before the program."""
    return f"_TABLE = {{'a': [1, (2.0, 3j)], b'b': None}}\n{_plain(code)}"


ODDITIES: tuple[Oddity, ...] = (
    rewritten("as-it-is", "the oracle itself", lambda code: code),
    Oddity(name="continuation", why="goes on where the prompt ends", write=_continuation),
    rewritten("unparsed", "formatted by a machine, without comments", _plain),
    rewritten("fenced", "a block that says it is Python", lambda code: _fenced("python", code)),
    rewritten("fenced-py", "a shorter tag", lambda code: _fenced("py", code)),
    rewritten("fenced-python3", "a longer one", lambda code: _fenced("python3", code)),
    rewritten("fenced-untagged", "a block without a tag", lambda code: _fenced("", code)),
    rewritten("fenced-capital", "a tag in another case", lambda code: _fenced("Python", code)),
    rewritten("fenced-attributes", "a tag with more words",
              lambda code: _fenced('python title="a.py"', code)),
    rewritten("fenced-four", "a longer fence",
              lambda code: f"````python\n{code.rstrip()}\n````\n"),
    rewritten("fenced-crlf", "a block with the line ends of another system",
              lambda code: _fenced("python", code).replace("\n", "\r\n")),
    rewritten("fenced-in-list", "an indented block belongs to its list item", _list_item),
    rewritten("fenced-no-newline", "nothing after the last fence",
              lambda code: _fenced("python", code).rstrip()),
    rewritten("prose-around", "words before and after the block",
              lambda code: f"I think so:\n\n{_fenced('python', code)}\nIt runs in O(n).\n"),
    rewritten("second-thoughts", "the last of two blocks counts",
              lambda code: f"{_fenced('python', 'def f(x): return 0')}\nNo:\n"
              f"{_fenced('python', code)}"),
    rewritten("output-below", "a block of another language below",
              lambda code: f"{_fenced('python', code)}\nIt prints:\n{_fenced('text', '42')}"),
    rewritten("shell-above", "a block of another language above",
              lambda code: f"{_fenced('sh', 'pip install nothing')}\n{_fenced('python', code)}"),
    Oddity(name="usage-below", why="an example of use is not the answer", write=_example),
    Oddity(name="fence-in-docstring", why="documentation may show a block",
           write=_documented),
    Oddity(name="fence-in-fenced-docstring", why="a longer fence holds shorter ones",
           write=lambda target: f"````python\n{_documented(target)}````\n"),
    rewritten("inline-code", "back-ticks in a sentence are no fence",
              lambda code: f"Use `x` and ``y``.\n{_fenced('python', code)}"),
    rewritten("think-tags", "reasoning before the block",
              lambda code: f"<think>\nFirst, def f(x): no.\n</think>\n{_fenced('python', code)}"),
    rewritten("crlf", "line ends of another system", lambda code: code.replace("\n", "\r\n")),
    rewritten("cr", "line ends of an old system", lambda code: _plain(code).replace("\n", "\r")),
    rewritten("mixed-line-ends", "line ends of both",
              lambda code: _plain(code).replace("\n", "\r\n", 1)),
    rewritten("no-last-newline", "the last line does not end", lambda code: code.rstrip()),
    rewritten("blank-lines", "blank lines on all sides", lambda code: f"\n\n\n{code}\n\n\n"),
    rewritten("trailing-spaces", "white space at the ends of lines",
              lambda code: _plain(code).replace("\n", "  \t\n")),
    rewritten("byte-order-mark", "what some editors put first", lambda code: "\ufeff" + code),
    rewritten("form-feed", "pages, as in old sources", lambda code: f"\f\n{code}\f\n"),
    rewritten("tabs", "tabs for indentation", lambda code: _indented(code, "\t")),
    rewritten("one-space", "one space for indentation", lambda code: _indented(code, " ")),
    rewritten("eight-spaces", "eight spaces for indentation",
              lambda code: _indented(code, 8 * " ")),
    rewritten("shebang", "a script's first lines",
              lambda code: f"#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n{code}"),
    rewritten("odd-encoding-comment", "text has been decoded already",
              lambda code: f"# -*- coding: latin-1 -*-\n# é\n{code}"),
    rewritten("future-import", "must come first, and does",
              lambda code: f"from __future__ import annotations\n{code}"),
    rewritten("module-docstring", "words about the module",
              lambda code: f'"""Words: def f(x)."""\n{code}'),
    rewritten("many-comments", "comments that look like other things",
              lambda code: f"# assert False\n# sys.exit(0)\n# PASSED\n{code}\n# os._exit(1)\n"),
    rewritten("long-comment", "a comment of 20 000 letters",
              lambda code: f"# {'x' * 20_000}\n{code}"),
    rewritten("many-lines", "two thousand lines of nothing much",
              lambda code: "".join(f"_V{i} = {i}\n" for i in range(2000)) + code),
    rewritten("unicode-comment", "letters of many scripts",
              lambda code: f"# π ≈ 3, 你好, مرحبا, 🙂, \u202e!\n{code}"),
    rewritten("unicode-strings", "text with letters beyond the basic plane",
              lambda code: f"_NOTE = '𝔘𝔫𝔦 \\ud83d {{}} %s \\N{{BULLET}}'\n{code}"),
    rewritten("constants-first", "a table before the program", _constants),
    rewritten("main-guard", "a demonstration that is no part of it",
              lambda code: f"{code}\nif __name__ == '__main__':\n    raise SystemExit(3)\n"),
    rewritten("main-guard-unittest", "tests of its own, for the command line",
              lambda code: f"import unittest\n{code}\nif __name__ == '__main__':\n"
              "    unittest.main()\n"),
    rewritten("semicolons", "several statements a line",
              lambda code: f"import math; import re; _A = 1; _B = 2;\n{code}\n_A += _B; del _B\n"),
    rewritten("backslashes", "a line that goes on", lambda code: f"_A = 1 + \\\n    2\n{code}"),
    rewritten("pass-and-ellipsis", "statements that do nothing",
              lambda code: f"pass\n...\n0\n{code}\n...\n"),
    rewritten("asserts-of-its-own", "it tests itself, rightly",
              lambda code: f"{code}\nassert True, 'fine'\nassert [] == []\n"),
    rewritten("defined-twice", "the last definition counts",
              lambda code: f"{_returns_nothing(code)}\n{code}"),
    rewritten("type-aliases", "names for types, some of them unused",
              lambda code: "from typing import Any, TypeVar\nT = TypeVar('T', bound=Any)\n"
              f"Rows = list[dict[str, 'Rows | None']]\n{code}"),
)  # fmt: skip
