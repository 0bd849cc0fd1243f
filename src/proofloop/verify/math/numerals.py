"""Numerals: the texts that stand for one rational number without any operator to carry out."""

import re
from fractions import Fraction

from proofloop.verify.math.tree import Notation, Num, Unreadable

MAX_EXPONENT = 400
"""Of ten, in scientific notation."""
_SHAPE = re.compile(
    r"(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*)(?:\\overline\{(?P<cycle>[0-9]+)\})?)?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)
_GROUPS = re.compile(r",?\\[!,]|\\ |\{,\}|,")
_DECIMAL_COMMA = re.compile(r"([0-9]+)\{,\}([0-9]{1,2}|[0-9]{4,})")


def read_numeral(text: str) -> Num:
    """Of a NUMBER token: 42, 1,000, 10{,}000, 2.50, 2{,}5, 0.1\\overline{6}, 6.29e6."""
    comma = _DECIMAL_COMMA.fullmatch(text)
    plain = f"{comma[1]}.{comma[2]}" if comma else _GROUPS.sub("", text)
    match = _SHAPE.fullmatch(plain)
    if match is None:
        raise Unreadable("a malformed numeral")
    whole, part, cycle = match["whole"] or "0", match["part"] or "", match["cycle"]
    value = Fraction(int(whole + part), 10 ** len(part))
    notation = Notation.INTEGER if match["part"] is None else Notation.DECIMAL
    if cycle:
        value += Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(part))
    if match["exponent"]:
        value = scaled(value, int(match["exponent"]))
        notation = Notation.SCIENTIFIC
    return Num(value, notation)


def scaled(value: Fraction, exponent: int) -> Fraction:
    """value times a power of ten.  Raises Unreadable over the cap."""
    if abs(exponent) > MAX_EXPONENT:
        raise Unreadable(f"a power of ten over {MAX_EXPONENT}")
    return value * Fraction(10) ** exponent


def integer_of(node: object) -> int | None:
    """The value of an integer numeral, signed or not; None for anything else."""
    if isinstance(node, Num) and node.notation is Notation.INTEGER:
        return node.value.numerator
    return None
