"""The text of an answer while it grows: nothing is shown that a later token could take back."""

from collections.abc import Callable, Sequence

_BROKEN = "�"
"""What bytes decode to that are not (yet) a character."""


class GrowingText:
    """Text of a completion without its stop string.

    The end is held back while it may be the beginning of a stop string, or of a character."""

    def __init__(self, text_of: Callable[[Sequence[int]], str], stops: Sequence[str]) -> None:
        self._text_of = text_of
        self._stops = tuple(stops)
        self._shown = 0
        self.tokens: list[int] = []

    def grow(self, tokens: Sequence[int], *, ended: bool) -> str:
        """What can be shown now and was not before."""
        self.tokens += tokens
        text = self._text_of(self.tokens)
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        end = min(found) if found else len(text)
        if not ended:
            end = len(text[:end].rstrip(_BROKEN))
            end -= max((_overlap(text[:end], stop) for stop in self._stops), default=0)
        new = text[self._shown : end]
        self._shown = max(self._shown, end)
        return new


def _overlap(text: str, stop: str) -> int:
    """How many of the text's last characters are the beginning of `stop`."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
