"""Stop strings: where in a completion's tokens one of them is complete."""

from collections.abc import Callable, Sequence

TextOf = Callable[[Sequence[int]], str]
"""Text of tokens, special ones kept out."""


def first_stop(
    tokens: Sequence[int], stops: Sequence[str], text_of: TextOf, *, seen: int = 0
) -> int | None:
    """How many of `tokens` it takes until their text holds one of `stops`; None: all do not.

    `seen`: so many are known to hold none.  The text is decoded anew at each token, since bytes of
    one character may be spread over several.
    """
    if not any(stop in text_of(tokens) for stop in stops):
        return None
    for num in range(seen + 1, len(tokens) + 1):
        text = text_of(tokens[:num])
        if any(stop in text for stop in stops):
            return num
    return None
