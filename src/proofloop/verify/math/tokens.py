"""From the text of an answer to tokens: LaTeX, plain text and the usual Unicode signs.

One pass of one pattern without backtracking over more than a numeral; whatever it does not know
makes the text unreadable.  Commands that only lay out are dropped.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from proofloop.verify.math.tree import FUNCTIONS, Unreadable
from proofloop.verify.math.units import UNIT_NAMES

MAX_TOKENS = 400
MAX_DIGITS = 1000
"""Of one numeral."""


class Kind(StrEnum):
    NUMBER = "number"
    NAME = "name"
    """One letter, or a Greek one by name."""
    WORD = "word"
    """What stood in \\text{…}, or a plain word that is a unit, `and`, `or`."""
    FUNCTION = "function"
    SIGN = "sign"
    """An operator, a bracket, a separator, or a command of the grammar without its backslash."""
    END = "end"


class Token(NamedTuple):
    kind: Kind
    text: str
    spaced: bool
    """Whether a space stands before it."""


_UNICODE = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ",
        "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "±": r"\pm ",
        "²": "^2", "³": "^3", "½": r"\frac12 ", "¼": r"\frac14 ", "¾": r"\frac34 ",
        "\u00a0": " ", "\u2009": " ", "\u202f": " ", "θ": r"\theta ", "ℝ": r"\mathbb{R}",
        "€": r" \text{euros} ", "£": r" \text{pounds sterling} ",
    }
)  # fmt: skip

# Thousands are grouped by a comma (outside brackets only, where it separates), by {,} or by a thin
# space; {,} before one, two or more than three digits is a decimal comma.
_GROUP = r"\{,\}|,?\\[!,]|\\ "
_DECIMAL = r"\.[0-9]+(?:\\overline\{[0-9]+\})?|\.\\overline\{[0-9]+\}"
_EXPONENT = r"(?:[eE][+-]?[0-9]{1,4}(?![0-9A-Za-z]))?"
_COMMA_DECIMAL = r"[0-9]+\{,\}(?:[0-9]{1,2}|[0-9]{4,})(?![0-9])"


def _pattern(group: str) -> re.Pattern[str]:
    whole = rf"[0-9]{{1,3}}(?:(?:{group})[0-9]{{3}}(?![0-9]))+|[0-9]+"
    number = rf"{_COMMA_DECIMAL}|(?:{whole})(?:{_DECIMAL})?{_EXPONENT}|{_DECIMAL}"
    text = r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\*?\{[^{}]*\}"
    return re.compile(
        rf"(?P<space>(?:\s|~|\\[,;:! ]|\\quad|\\qquad)+)|(?P<number>{number})|(?P<text>{text})"
        r"|(?P<command>\\(?:[A-Za-z]+|.))|(?P<word>[A-Za-z]+)"
        r"|(?P<sign>\*\*|<=|>=|!=|==|[-+*/^_=<>(){}\[\]|,;:!%&$'])"
    )


_OUTSIDE = _pattern(rf",|{_GROUP}")
_INSIDE = _pattern(_GROUP)


def _words(text: str) -> list[str]:
    return text.split()


_LAYOUT = frozenset(
    _words("left right big Big bigl bigr Bigl Bigr displaystyle textstyle limits boldsymbol")
)
_GREEK = frozenset(
    _words(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho "
        "sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell"
    )
)
_SAME_AS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "cdot": "*", "times": "*", "ast": "*",
    "div": "/", "leq": "<=", "le": "<=", "leqslant": "<=", "lt": "<", "geq": ">=", "ge": ">=",
    "geqslant": ">=", "gt": ">", "neq": "!=", "ne": "!=", "lbrace": r"\{", "rbrace": r"\}",
    "{": r"\{", "}": r"\}", "lbrack": "[", "rbrack": "]", "dbinom": "binom", "tbinom": "binom",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "degree": "degrees", "circ": "circ",
    "varnothing": "emptyset", "%": "%", "$": "$", "bigcup": "cup", "cup": "cup", "\\": r"\\",
}  # fmt: skip
_COMMANDS = frozenset(
    _words(
        "frac sqrt binom pi infty pm cup in emptyset langle rangle begin end mathbb lfloor rfloor "
        "lceil rceil"
    )
)
_INVERSES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_PLAIN_COMMANDS = {
    "sqrt": "sqrt", "pi": "pi", "inf": "infty", "infinity": "infty", "oo": "infty", "U": "cup",
}  # fmt: skip
_OPENING, _CLOSING = ("(", "[", r"\{", "langle"), (")", "]", r"\}", "rangle")


def tokenize(text: str) -> list[Token]:
    """Raises Unreadable for a sign outside the grammar, or too many."""
    text = text.translate(_UNICODE)
    tokens: list[Token] = []
    at, depth, spaced = 0, 0, False
    while at < len(text):
        match = (_INSIDE if depth else _OUTSIDE).match(text, at)
        if match is None:
            raise Unreadable(f"a sign outside the grammar, {text[at]!r}")
        at = match.end()
        kind = match.lastgroup
        if kind == "space":
            spaced = True
            continue
        for token in _tokens(kind or "", match.group(), spaced):
            if token.kind is Kind.SIGN:
                depth += (token.text in _OPENING) - (token.text in _CLOSING)
            tokens.append(token)
            spaced = False
        if len(tokens) > MAX_TOKENS:
            raise Unreadable(f"more than {MAX_TOKENS} signs")
    return tokens


def _tokens(kind: str, text: str, spaced: bool) -> list[Token]:
    if kind == "number":
        if len(text) > MAX_DIGITS:
            raise Unreadable(f"a numeral of more than {MAX_DIGITS} digits")
        return [Token(Kind.NUMBER, text, spaced)]
    if kind == "text":
        name, _, body = text.rstrip("}").partition("{")
        word = " ".join(body.replace("~", " ").replace("\\ ", " ").split())
        if name.startswith((r"\operatorname", r"\mathrm", r"\mathbf", r"\mathit", r"\text")):
            if word in FUNCTIONS or word in _INVERSES:
                return [Token(Kind.FUNCTION, _INVERSES.get(word, word), spaced)]
            if len(word) == 1 and word.isalpha() and not name.startswith(r"\text"):
                return [Token(Kind.NAME, word, spaced)]
        return [Token(Kind.WORD, word, spaced)] if word else []
    if kind == "command":
        return _command(text[1:], spaced)
    if kind == "word":
        return _plain_word(text, spaced)
    return [Token(Kind.SIGN, {"**": "^", "==": "="}.get(text, text), spaced)]


def _command(name: str, spaced: bool) -> list[Token]:
    name = _SAME_AS.get(name, name)
    if name in _LAYOUT:
        return []
    if name in FUNCTIONS:
        return [Token(Kind.FUNCTION, name, spaced)]
    if name in _GREEK:
        return [Token(Kind.NAME, name, spaced)]
    if name == "degrees":
        return [Token(Kind.SIGN, "^", spaced), Token(Kind.SIGN, "circ", False)]
    if name in _COMMANDS or not name.isalpha() or name == "circ":
        return [Token(Kind.SIGN, name, spaced)]
    raise Unreadable(f"a command outside the grammar, \\{name[:40]}")


def _plain_word(text: str, spaced: bool) -> list[Token]:
    """A function, a constant, a unit, `and` or `or`; anything else is letters side by side."""
    lower = text.lower()
    if text in _PLAIN_COMMANDS:
        return [Token(Kind.SIGN, _PLAIN_COMMANDS[text], spaced)]
    if text in FUNCTIONS or text in _INVERSES:
        return [Token(Kind.FUNCTION, _INVERSES.get(text, text), spaced)]
    if lower in ("and", "or") or (len(text) > 1 and lower in UNIT_NAMES):
        return [Token(Kind.WORD, lower, spaced)]
    return [Token(Kind.NAME, letter, spaced and not i) for i, letter in enumerate(text)]
