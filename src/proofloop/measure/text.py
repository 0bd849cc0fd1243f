"""Text that a model wrote, made safe to look at.

Escaping for HTML is the template's work; here every character gets a visible form, so that no
control sequence, direction override or invisible character reaches a terminal or a page.
"""

import unicodedata

from proofloop.core.tripwire import Wire

_WHITESPACE = {" ": "␠", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

WIRE_SAYS = {
    Wire.DECOY: "a result holds a planted wrong value",
    Wire.IMPOSSIBLE: "it passed tests that no honest answer passes",
    Wire.CONTRADICTION: "it passed shown tests that contradict each other",
}


def printable(text: str, *, max_chars: int = 4000) -> str:
    """`text` with its lines kept and everything invisible written as an escape; cut when long."""
    shown = "".join(c if c == "\n" else "    " if c == "\t" else _escape(c) for c in text)
    if len(shown) <= max_chars:
        return shown
    return f"{shown[:max_chars]}\n… {len(shown) - max_chars} more characters"


def one_token(text: str) -> str:
    """A token's text on one line: whitespace as ␠ ⏎ ⇥ ␍, everything else invisible escaped."""
    return "".join(_WHITESPACE.get(c) or _escape(c) for c in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
