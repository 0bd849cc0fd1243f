"""What a failed attempt may be told: of the tests that its prompt shows, and of nothing else.

Built on the trusted side alone (`verify.feedback`).  Whatever is told was in the prompt already, or
is what the answer's own program made of it; so a hidden test cannot be told.  Every text and their
number is capped.  Pure, and shared with the pre-training corpus, which must look the same.
"""

from typing import Any, cast

from proofloop.core.record import Record
from proofloop.core.verdict import ScoredCause

MAX_SHOWN = 8
"""Tests in one feedback."""
MAX_TEXT = 120
"""Characters of one value, call or result."""
_GAVE = "gave "
HIDDEN = "?"
"""In place of a value that is masked."""


class ShownTest(Record):
    """One test that the prompt shows, and what the attempt made of it; all as text."""

    call: str
    """For example `f([3, 1])`."""
    wanted: str
    """As the prompt has it: `== [1, 3]` or `raises ValueError`; or HIDDEN."""
    got: str
    """`gave [3, 1]`, `raised KeyError`; or HIDDEN."""
    passed: bool


class Feedback(Record):
    """What is told of one failed attempt."""

    cause: ScoredCause | None
    """What came of the tests shown (PASSED: only others fail), or, where none are shown, of all
    tests; None: not told."""
    shown: tuple[ShownTest, ...] = ()


def feedback_text(feedback: Feedback) -> str:
    """The user's next words; at most MAX_SHOWN lines of four capped parts, and a heading.

    >>> shown = ShownTest(call="f(2)", wanted="== 4", got="gave 3", passed=False)
    >>> print(feedback_text(Feedback(cause=ScoredCause.WRONG_ANSWER, shown=(shown,))), end="")
    # wrong answer
    assert 3 == 4 # f(2)
    # try again
    """
    lines = [test_line(test) for test in feedback.shown]
    if feedback.cause is ScoredCause.PASSED:
        lines.insert(0, "# right here, wrong elsewhere")
    elif feedback.cause is not None:
        lines.insert(0, f"# {feedback.cause.replace('_', ' ')}")
    return "\n".join([*lines, "# try again"]) + "\n"


def test_line(test: ShownTest) -> str:
    """Of two values that differ, as pytest writes it: what came, then what was wanted, side by side
    like the two sides of a line of the prompt."""
    if not test.passed and test.got.startswith(_GAVE) and test.wanted.startswith("=="):
        return f"assert {test.got.removeprefix(_GAVE)} {test.wanted} # {test.call}"
    return f"assert {test.call} {test.wanted} # {'ok' if test.passed else test.got}"


def masked(feedback: Feedback) -> Feedback:
    """Which tests pass, without any value that was wanted or given: a control."""
    return Feedback(
        cause=feedback.cause,
        shown=tuple(
            ShownTest(call=test.call, wanted=HIDDEN, got=HIDDEN, passed=test.passed)
            for test in feedback.shown
        ),
    )


BARE = Feedback(cause=None)
"""That the attempt failed, and no more: what a second look alone is worth."""


def value_text(value: Any, *, most: int | None = MAX_TEXT) -> str:
    """`repr` of a plain value, the same in every process (sets are sorted), cut to `most`."""
    try:
        return cut(_repr(value), most)
    except ValueError:  # an int of more digits than Python writes
        return "something too long to show"


def cut(text: str, most: int | None = MAX_TEXT) -> str:
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def _repr(value: Any) -> str:
    if isinstance(value, set | frozenset):
        items = sorted(_repr(item) for item in cast("set[Any]", value))
        inner = f"{{{', '.join(items)}}}" if items else ""
        return inner if isinstance(value, set) and items else f"{type(value).__name__}({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_repr, cast('list[Any]', value)))}]"
    if isinstance(value, tuple):
        items = [_repr(item) for item in cast("tuple[Any, ...]", value)]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        return f"{{{', '.join(f'{_repr(k)}: {_repr(v)}' for k, v in pairs)}}}"
    return repr(value)


def call_text(function: str, args: tuple[Any, ...]) -> str:
    return cut(f"{function}({', '.join(map(value_text, args))})")
