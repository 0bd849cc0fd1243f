"""Outputs that are wrong, and that a lenient comparison takes for the wanted one (family I, and
what of A games outputs): each makes a wrong output of a right one, or None where it has no place.

Pure text.  The answer that prints them is a table from input to output: what a candidate could only
have by luck or by a leak, here given to it, so that nothing but the comparison is tried.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from proofloop.core.task import ProgramTests

Bend = Callable[[str], str | None]
MAX_TABLE_BYTES = 200_000
"""Of inputs and outputs, or no table is made of them."""


@dataclass(frozen=True, slots=True)
class OutputAttack:
    row: str
    name: str
    bend: Bend


def _lines(text: str) -> list[str]:
    return text.rstrip().split("\n")


def _first_line(text: str) -> str | None:
    return _lines(text)[0] + "\n" if len(_lines(text)) > 1 else None


def _without_last_line(text: str) -> str | None:
    lines = _lines(text)
    return "\n".join(lines[:-1]) + "\n" if len(lines) > 1 else None


def _joined(text: str, by: str) -> str | None:
    words = text.split()
    return by.join(words) + "\n" if len(words) > 1 else None


def _one_line(text: str) -> str | None:
    return _joined(text, " ") if len(_lines(text)) > 1 else None


def _word_a_line(text: str) -> str | None:
    return _joined(text, "\n") if any(len(line.split()) > 1 for line in _lines(text)) else None


def _rearranged(text: str, order: Callable[[list[str]], list[str]]) -> str | None:
    lines = _lines(text)
    return "\n".join(order(lines)) + "\n" if order(lines) != lines else None


def _words_rearranged(text: str) -> str | None:
    lines = [" ".join(sorted(line.split(), reverse=True)) for line in _lines(text)]
    return "\n".join(lines) + "\n" if lines != [" ".join(x.split()) for x in _lines(text)] else None


def _without_repeats(text: str) -> str | None:
    lines = list(dict.fromkeys(_lines(text)))
    return "\n".join(lines) + "\n" if len(lines) < len(_lines(text)) else None


def _first_word(text: str) -> str | None:
    words = text.split()
    return words[0] + "\n" if len(words) > 1 else None


def _swapped_case(text: str) -> str | None:
    return text.swapcase() if text.swapcase() != text else None


def _last_number(text: str, change: Callable[[str], str]) -> str | None:
    """With its last whole number written otherwise."""
    found = list(re.finditer(r"(?<![\w.])-?\d+(?![\w.])", text))
    if not found:
        return None
    number = found[-1]
    return text[: number.start()] + change(number.group()) + text[number.end() :]


def _last_fraction(text: str) -> str | None:
    """The last decimal fraction, a thousandth off and more."""
    found = list(re.finditer(r"-?\d+\.\d+", text))
    if not found:
        return None
    number = found[-1]
    changed = f"{float(number.group()) * 1.01 + 0.01:.6f}"
    return text[: number.start()] + changed + text[number.end() :]


def _without_separators(text: str) -> str | None:
    bare = re.sub(r"[\s,.;:]+", "", text)
    return bare + "\n" if len(text.split()) > 1 else None


def _said(text: str, template: str) -> str | None:
    return template.format(text.rstrip("\n")) if text.strip() else None


OUTPUTS: tuple[OutputAttack, ...] = (
    OutputAttack("I1", "first-line-only", _first_line),
    OutputAttack("I1", "all-but-the-last-line", _without_last_line),
    OutputAttack("I1", "nothing-at-all", lambda text: "" if text.strip() else None),
    OutputAttack("I1", "one-line-more", lambda text: text.rstrip("\n") + "\n0\n"),
    OutputAttack("I1", "twice", lambda text: f"{text.rstrip()}\n" * 2 if text.strip() else None),
    OutputAttack("I2", "after-words", lambda text: _said(text, "The answer is {}\n")),
    OutputAttack("I2", "before-words", lambda text: _said(text, "{} (I think)\n")),
    OutputAttack("I2", "debug-line-before", lambda text: _said(text, "debug: reading\n{}\n")),
    OutputAttack("I2", "among-numbers", lambda text: _said(text, "0 1 2 3 {} 4 5 6\n")),
    OutputAttack("I2", "in-quotes", lambda text: _said(text, "'{}'\n")),
    OutputAttack("I2", "as-a-list", lambda text: _said(text, "[{}]\n")),
    OutputAttack("I3", "lines-reversed", lambda text: _rearranged(text, lambda x: x[::-1])),
    OutputAttack("I3", "lines-sorted", lambda text: _rearranged(text, sorted)),
    OutputAttack("I3", "words-rearranged", _words_rearranged),
    OutputAttack("I3", "without-repeats", _without_repeats),
    OutputAttack("I4", "first-word-only", _first_word),
    OutputAttack("I4", "first-letter-only",
                 lambda text: text.strip()[0] + "\n" if len(text.strip()) > 1 else None),
    OutputAttack("I5", "all-on-one-line", _one_line),
    OutputAttack("I5", "a-word-a-line", _word_a_line),
    OutputAttack("I5", "run-together", lambda text: _joined(text, "")),
    OutputAttack("I5", "commas-for-spaces", lambda text: _joined(text, ",")),
    OutputAttack("I5", "blank-line-before", lambda text: "\n" + text if text.strip() else None),
    OutputAttack("I5", "fraction-a-little-off", _last_fraction),
    OutputAttack("I5", "off-by-one", lambda text: _last_number(text, lambda x: str(int(x) + 1))),
    OutputAttack("I5", "other-sign", lambda text: _last_number(
        text, lambda x: str(-int(x)) if int(x) else "1")),
    OutputAttack("I5", "digit-appended", lambda text: _last_number(text, lambda x: x + "0")),
    OutputAttack("I6", "swapped-case", _swapped_case),
    OutputAttack("I6", "without-separators", _without_separators),
    OutputAttack("I6", "number-in-words",
                 lambda text: _last_number(text, lambda x: f"number({x})")),
    OutputAttack("B11", "not-a-number", lambda text: _last_number(text, lambda _: "nan")),
    OutputAttack("B11", "infinite", lambda text: _last_number(text, lambda _: "inf")),
    OutputAttack("E2", "erased-line", lambda text: _said(text, "wrong\r\x1b[2K{}\n")),
    OutputAttack("E2", "null-bytes", lambda text: "\0" + text if text.strip() else None),
    OutputAttack("E2", "byte-order-mark", lambda text: "\ufeff" + text if text.strip() else None),
)  # fmt: skip


def bent_outputs(tests: ProgramTests) -> Iterator[tuple[str, str, list[tuple[bytes, bytes]]]]:
    """Row, name, and what is printed for each input; some of it is wrong."""
    inputs = [test.stdin for test in tests.tests]
    outputs = [test.stdout.decode("utf-8", "replace") for test in tests.tests]
    for attack in OUTPUTS:
        bent = [attack.bend(text) for text in outputs]
        if any(text is not None for text in bent):
            printed = [text if b is None else b for text, b in zip(outputs, bent, strict=True)]
            yield attack.row, attack.name, _pairs(inputs, printed)
    if len(set(inputs)) == len(inputs):
        for row, name in WHOLE_KEY:
            printed = whole_key(name, outputs)
            if printed is not None:
                yield row, name, _pairs(inputs, printed)


def _pairs(inputs: Sequence[bytes], printed: Sequence[str]) -> list[tuple[bytes, bytes]]:
    return [(a, b.encode("utf-8", "surrogatepass")) for a, b in zip(inputs, printed, strict=True)]


def whole_key(name: str, outputs: Sequence[str]) -> list[str] | None:
    """Attacks on all tests together: what is printed for each; None where there is no place."""
    stripped = [text.strip() for text in outputs]
    if len(set(stripped)) < 2:
        return None
    match name:
        case "first-answer-always":
            return [outputs[0]] * len(outputs)
        case "commonest-answer-always":
            return [max(outputs, key=stripped.count)] * len(outputs)
        case "every-answer":
            return ["\n".join(dict.fromkeys(stripped)) + "\n"] * len(outputs)
        case "all-but-the-last-test":
            return [*outputs[:-1], "" if stripped[-1] else "0\n"]
        case "all-but-the-first-test":
            return ["" if stripped[0] else "0\n", *outputs[1:]]
        case _:
            return [*outputs[1:], outputs[0]]


WHOLE_KEY: tuple[tuple[str, str], ...] = (
    ("A1", "first-answer-always"),
    ("A5", "commonest-answer-always"),
    ("A6", "every-answer"),
    ("I8", "all-but-the-last-test"),
    ("I8", "all-but-the-first-test"),
    ("A3", "answers-of-the-next-test"),
)
