"""Cards of what a key of function tests may declare: comparisons, exceptions, objects, a process a
call."""

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
from proofloop.verify.cards.card import Card, fails, passes


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
        gold="def f(x): return [[1, 2], 0.3][x]",
        rejected=(
            fails("order", "the order counts",
                  "def f(x): return [[2, 1], 0.3][x]", C.WRONG_ANSWER),
            fails("sum", "0.1 + 0.2 is not 0.3",
                  "def f(x): return [[1, 2], 0.1 + 0.2][x]", C.WRONG_ANSWER),
            fails("tuple", "a tuple is no list",
                  "def f(x): return [(1, 2), 0.3][x]", C.WRONG_ANSWER),
            fails("float", "2.0 is not 2",
                  "def f(x): return [[1, True + 1.0], 0.3][x]", C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="close",
        tests=_compared(
            Close(rel_tol=1e-6, abs_tol=1e-9), 0.3, [1.0, {"a": 2.5}], 7, float("inf"), 1 + 2j
        ),
        gold="def f(x): return [0.3, [1.0, {'a': 2.5}], 7, 1e999, 1 + 2j][x]",
        accepted=(
            passes("near", "floats anywhere in a value may be off, and an int may stand for one",
                   "def f(x): return [0.1 + 0.2, [1, {'a': 2.5000001}], 7, 1e999, "
                   "1 + 2.0000001j][x]"),
        ),
        rejected=(
            fails("far", "over the tolerance",
                  "def f(x): return [0.301, [1.0, {'a': 2.5}], 7, 1e999, 1 + 2j][x]",
                  C.WRONG_ANSWER),
            fails("key", "another key",
                  "def f(x): return [0.3, [1.0, {'b': 2.5}], 7, 1e999, 1 + 2j][x]",
                  C.WRONG_ANSWER),
            fails("short", "an item is missing",
                  "def f(x): return [0.3, [1.0], 7, 1e999, 1 + 2j][x]", C.WRONG_ANSWER),
            fails("int", "where an int is wanted, a float is none",
                  "def f(x): return [0.3, [1.0, {'a': 2.5}], 7.0, 1e999, 1 + 2j][x]",
                  C.WRONG_ANSWER),
            fails("infinite", "nothing finite is near infinity",
                  "def f(x): return [0.3, [1.0, {'a': 2.5}], 7, 1e308, 1 + 2j][x]",
                  C.WRONG_ANSWER),
            fails("beyond", "nor is an int beyond all floats",
                  "def f(x): return [0.3, [1.0, {'a': 2.5}], 7, 10**400, 1 + 2j][x]",
                  C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("nan", "B11: a NaN is near nothing", "def f(x): return float('nan')",
                  C.WRONG_ANSWER),
            fails("true", "a bool is no number", "def f(x): return True", C.WRONG_ANSWER),
            fails("always-equal", "B4: an object with code is no value", _ALWAYS_EQUAL,
                  C.INVALID_RESULT),
        ),
    ),
    Card(
        name="any-order",
        tests=_compared(AnyOrder(), [3, 1, 1], [[1], [2]], "ab"),
        gold="def f(x): return [[3, 1, 1], [[1], [2]], 'ab'][x]",
        accepted=(
            passes("reordered", "any order will do",
                   "def f(x): return [[1, 3, 1], [[2], [1]], 'ab'][x]"),
        ),
        rejected=(
            fails("fewer", "each as often", "def f(x): return [[1, 3], [[2], [1]], 'ab'][x]",
                  C.WRONG_ANSWER),
            fails("another", "each as often",
                  "def f(x): return [[1, 3, 3], [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            fails("bool", "True is not 1",
                  "def f(x): return [[True, 3, 1], [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            fails("tuple", "a tuple is no list",
                  "def f(x): return [(1, 3, 1), [[2], [1]], 'ab'][x]", C.WRONG_ANSWER),
            fails("text", "a text is no list",
                  "def f(x): return [[1, 3, 1], [[2], [1]], 'ba'][x]", C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("always-equal", "B1: an object with code is no value", _ALWAYS_EQUAL,
                  C.INVALID_RESULT),
        ),
    ),
    Card(
        name="same-items",
        tests=_compared(SameItems(), [3, 1], {"a", "b"}),
        gold="def f(x): return [[3, 1], {'a', 'b'}][x]",
        accepted=(
            passes("tuple", "order, number and collection do not count",
                   "def f(x): return [(1, 3, 1), ['b', 'a']][x]"),
            passes("sets", "order, number and collection do not count",
                   "def f(x): return [{1, 3}, frozenset('ab')][x]"),
        ),
        rejected=(
            fails("more", "one too many", "def f(x): return [[1, 2, 3], ['b', 'a']][x]",
                  C.WRONG_ANSWER),
            fails("text", "a text is no collection", "def f(x): return [[1, 3], 'ab'][x]",
                  C.WRONG_ANSWER),
            fails("float", "1.0 is not 1", "def f(x): return [[1.0, 3], ['b', 'a']][x]",
                  C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("always-equal", "B3: an object with code is no value", _ALWAYS_EQUAL,
                  C.INVALID_RESULT),
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
        gold="class Empty(Exception): pass\ndef f(x):\n    if x < 0: raise ValueError(x)\n"
        "    if not x: raise Empty\n    return x\n",
        rejected=(
            fails("none", "raises nothing", "def f(x): return x", C.WRONG_ANSWER),
            fails("another", "raises something else",
                  "def f(x):\n    if x < 1: raise Exception\n    return x", C.EXCEPTION),
            fails("always", "raises where a value is wanted",
                  "def f(x):\n    raise ValueError", C.EXCEPTION),
        ),
        adversarial=(
            fails("returned", "an exception that is returned is not raised",
                  "def f(x):\n    if x < 1: return ValueError(x)\n    return x",
                  C.INVALID_RESULT),
            fails("exit", "C2: an end is no exception",
                  "import os\ndef f(x):\n    if x < 1: os._exit(0)\n    return x", C.CRASH),
        ),
    ),
    Card(
        name="objects",
        tests=_STACK,
        gold=_GOOD_STACK,
        accepted=(
            passes("factory", "a function may make the object",
                   _GOOD_STACK.replace("class Stack", "class _S")
                   + "def Stack(n): return _S(n)\n"),
        ),
        rejected=(
            fails("no-raise", "an exception is missing",
                  _GOOD_STACK.replace("raise OverflowError", "return"), C.WRONG_ANSWER),
            fails("queue", "the wrong end", _GOOD_STACK.replace("items.pop()", "items.pop(0)"),
                  C.WRONG_ANSWER),
            fails("renamed", "a method is missing", _GOOD_STACK.replace("def size", "def length"),
                  C.NO_ANSWER),
            fails("init", "it cannot be made",
                  _GOOD_STACK.replace("self.most, self.items = most, []", "raise KeyError"),
                  C.EXCEPTION),
            fails("no-class", "nothing is defined", "s = None", C.NO_ANSWER),
        ),
        adversarial=(
            fails("any-method", "A12: an object that has every method",
                  "class Stack:\n    def __init__(self, n): pass\n"
                  "    __getattr__ = lambda self, name: lambda *a: None\n", C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="process-per-call",
        tests=CallTests(
            calls=tuple(_call("f", x, gives=x + 1) for x in range(4)), process_per_call=True
        ),
        gold="def f(x): return x + 1",
        accepted=(
            passes("global", "a global that does not change",
                   "n = 0\ndef f(x):\n    return n + x + 1"),
        ),
        adversarial=(
            fails("counter", "A3: no count passes from call to call",
                  "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", C.WRONG_ANSWER),
            fails("exit", "C2: an end is no answer",
                  "import os\ndef f(x):\n    if x: os._exit(0)\n    return 1", C.CRASH),
        ),
    ),
)  # fmt: skip
