"""Cards of what a key of function tests may declare: comparisons, exceptions, objects, a process a
call.  Each says which answers pass and which do not; the tests run them on every tier.
"""

from dataclasses import dataclass
from typing import Any

from proofloop.core import value
from proofloop.core.task import (
    AnyOrder,
    CallTests,
    Close,
    Comparison,
    Exact,
    Keeps,
    Raises,
    Returns,
    SameItems,
    TestCall,
)
from proofloop.core.verdict import ScoredCause as C


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A key, the answers that must pass it, and those that must not, with their causes."""

    name: str
    tests: CallTests
    accepted: tuple[str, ...]
    rejected: tuple[tuple[str, C], ...]


def _call(function: str, *args: Any, gives: Any) -> TestCall:
    return TestCall(
        function=function, args=value.encode(args), wanted=Returns(value=value.encode(gives))
    )


def _raises(function: str, *args: Any, error: str) -> TestCall:
    return TestCall(function=function, args=value.encode(args), wanted=Raises(exception=error))


def _keeps(function: str, *args: Any, name: str) -> TestCall:
    return TestCall(function=function, args=value.encode(args), wanted=Keeps(name=name))


def _compared(comparison: Comparison, *results: Any) -> CallTests:
    calls = tuple(_call("f", i, gives=result) for i, result in enumerate(results))
    return CallTests(calls=calls, comparison=comparison)


_ALWAYS_EQUAL = (
    "class E(list):\n    __eq__ = __lt__ = __contains__ = lambda *a: True\n"
    "    __hash__ = lambda s: 0\n    __abs__ = __sub__ = __rsub__ = lambda *a: 0.0\n"
    "def f(x): return E()\n"
)

_STACK = CallTests(
    calls=(
        _keeps("Stack", 2, name="s"),
        _call("s.push", 5, gives=None),
        _call("s.push", 7, gives=None),
        _raises("s.push", 9, error="OverflowError"),
        _call("s.pop", gives=7),
        _call("s.size", gives=1),
        _keeps("Stack", 1, name="t"),
        _call("t.size", gives=0),
    )
)
_GOOD_STACK = """class Stack:
    def __init__(self, most):
        self.most, self.items = most, []
    def push(self, x):
        if len(self.items) == self.most:
            raise OverflowError
        self.items.append(x)
    def pop(self):
        return self.items.pop()
    def size(self):
        return len(self.items)
"""

CARDS: tuple[Card, ...] = (
    Card(
        name="exact",
        tests=_compared(Exact(), [1, 2], 0.3),
        accepted=("def f(x): return [[1, 2], 0.3][x]",),
        rejected=(
            ("def f(x): return [[2, 1], 0.3][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1, 2], 0.1 + 0.2][x]", C.WRONG_ANSWER),
            ("def f(x): return [(1, 2), 0.3][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1, True + 1.0], 0.3][x]", C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="close",
        tests=_compared(
            Close(rel_tol=1e-6, abs_tol=1e-9), 0.3, [1.0, {"a": 2.5}], 7, float("inf"), 1 + 2j
        ),
        accepted=(
            "def f(x): return [0.1 + 0.2, [1, {'a': 2.5000001}], 7, 1e999, 1 + 2.0000001j][x]",
        ),
        rejected=(
            ("def f(x): return [0.301, [1.0, {'a': 2.5}], 7, 1e999, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return [0.3, [1.0, {'b': 2.5}], 7, 1e999, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return [0.3, [1.0], 7, 1e999, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return [0.3, [1.0, {'a': 2.5}], 7.0, 1e999, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return [0.3, [1.0, {'a': 2.5}], 7, 1e308, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return [0.3, [1.0, {'a': 2.5}], 7, 10**400, 1 + 2j][x]", C.WRONG_ANSWER),
            ("def f(x): return float('nan')", C.WRONG_ANSWER),
            ("def f(x): return True", C.WRONG_ANSWER),
            (_ALWAYS_EQUAL, C.INVALID_RESULT),
        ),
    ),
    Card(
        name="any-order",
        tests=_compared(AnyOrder(), [3, 1, 1], [[1], [2]], "ab"),
        accepted=("def f(x): return [[1, 3, 1], [[2], [1]], 'ab'][x]",),
        rejected=(
            ("def f(x): return [[1, 3], [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1, 3, 3], [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            ("def f(x): return [[True, 3, 1], [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            ("def f(x): return [(1, 3, 1), [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1, 3, 1], [[2], [1]], 'ba'][x]", C.WRONG_ANSWER),
            (_ALWAYS_EQUAL, C.INVALID_RESULT),
        ),
    ),
    Card(
        name="same-items",
        tests=_compared(SameItems(), [3, 1], {"a", "b"}),
        accepted=(
            "def f(x): return [(1, 3, 1), ['b', 'a']][x]",
            "def f(x): return [{1, 3}, frozenset('ab')][x]",
        ),
        rejected=(
            ("def f(x): return [[1, 2, 3], ['b', 'a']][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1, 3], 'ab'][x]", C.WRONG_ANSWER),
            ("def f(x): return [[1.0, 3], ['b', 'a']][x]", C.WRONG_ANSWER),
            (_ALWAYS_EQUAL, C.INVALID_RESULT),
        ),
    ),
    Card(
        name="exceptions",
        tests=CallTests(
            calls=(
                _call("f", 1, gives=1),
                _raises("f", -1, error="ValueError"),
                _raises("f", 0, error="Empty"),
            )
        ),
        accepted=(
            "class Empty(Exception): pass\ndef f(x):\n    if x < 0: raise ValueError(x)\n"
            "    if not x: raise Empty\n    return x\n",
        ),
        rejected=(
            ("def f(x): return x", C.WRONG_ANSWER),
            ("def f(x):\n    if x < 1: raise Exception\n    return x", C.EXCEPTION),
            ("def f(x):\n    if x < 1: return ValueError(x)\n    return x", C.INVALID_RESULT),
            ("def f(x):\n    raise ValueError", C.EXCEPTION),
            ("import os\ndef f(x):\n    if x < 1: os._exit(0)\n    return x", C.CRASH),
        ),
    ),
    Card(
        name="objects",
        tests=_STACK,
        accepted=(
            _GOOD_STACK,
            _GOOD_STACK.replace("class Stack", "class _S") + "def Stack(n): return _S(n)\n",
        ),
        rejected=(
            (_GOOD_STACK.replace("raise OverflowError", "return"), C.WRONG_ANSWER),
            (_GOOD_STACK.replace("items.pop()", "items.pop(0)"), C.WRONG_ANSWER),
            (_GOOD_STACK.replace("def size", "def length"), C.NO_ANSWER),
            (_GOOD_STACK.replace("self.most, self.items = most, []", "raise KeyError"),
             C.EXCEPTION),
            ("class Stack:\n    def __init__(self, n): pass\n"
             "    __getattr__ = lambda self, name: lambda *a: None\n", C.WRONG_ANSWER),
            ("s = None", C.NO_ANSWER),
        ),
    ),
    Card(
        name="process-per-call",
        tests=CallTests(
            calls=tuple(_call("f", x, gives=x + 1) for x in range(4)), process_per_call=True
        ),
        accepted=("def f(x): return x + 1", "n = 0\ndef f(x):\n    return n + x + 1"),
        rejected=(
            ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", C.WRONG_ANSWER),
            ("import os\ndef f(x):\n    if x: os._exit(0)\n    return 1", C.CRASH),
        ),
    ),
)  # fmt: skip
