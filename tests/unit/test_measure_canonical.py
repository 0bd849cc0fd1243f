"""Classes of programs: what is the same, what stays apart, and that no text can do harm."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.canonical import parses, program_class

SAME = {
    "looks": (
        "def f(x):\n    return x+1",
        '"""Adds."""\ndef f(x: int) -> int:\n    # one\n    """doc"""\n    return (x + 0x1)\n',
    ),
    "names": (
        "def f(xs):\n    total = 0\n    for x in xs:\n        total += x\n    return total",
        "def f(values):\n    s = 0\n    for v in values:\n        s += v\n    return s",
    ),
    "comprehensions and lambdas": (
        "def f(s):\n    return sorted([c for c in s if c], key=lambda k: -k)",
        "def f(t):\n    return sorted([x for x in t if x], key=lambda x: -x)",
    ),
    "inner functions": (
        "def f(n):\n    def go(k):\n        return n if k == 0 else go(k - 1)\n    return go(n)",
        "def f(m):\n    def f2(i):\n        return m if 0 == i else f2(i - 1)\n    return f2(m)",
    ),
    "imports in functions": (
        "def f(x):\n    import math\n    return math.sqrt(x)",
        "def f(x):\n    import math as m\n    return m.sqrt(x)",
    ),
    "annotations": (
        "from typing import List\ndef f(x: List[int]):\n    y: int = 1\n    return x",
        "def f(x):\n    y = 1\n    return x",
    ),
    "order": (
        "import a\nimport b\ndef g(x):\n    return b.h(x)\ndef f(x):\n    return g(x)",
        "import b\nimport a\ndef f(x):\n    return g(x)\ndef g(y):\n    return b.h(y)",
    ),
    "comparisons": (
        "def f(a, b):\n    return a > b or a == 1",
        "def f(a, b):\n    return b < a or 1 == a",
    ),
    "quotes": ("x = 'a'  'b'", 'x = """ab"""'),
    "bare return": ("def f():\n    return", "def f():\n    pass\n    return None"),
    "except and match": (
        "def f(x):\n try: g(x)\n except E as e: return e\n match x:\n  case [a, *r]: return r",
        "def f(y):\n try: g(y)\n except E as z: return z\n match y:\n  case [b, *c]: return c",
    ),
    "keywords": ("f(a=1, b=c)", "f(b=c, a=1)"),
    "programs with a main part": (
        "def f(a):\n    return a\nif __name__ == '__main__':\n    f(1)",
        "def f(b):\n    return b\nif '__main__' == __name__:\n    f(1)",
    ),
    "sets": ("x = {1, 2}", "x = {2, 1}"),
}
APART = {
    "operands": ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a"),
    "shadowing": (
        "def f(a):\n    b = a\n    a = 2\n    return b",
        "def f(a):\n    b = a\n    b = 2\n    return b",
    ),
    "sums of unknown types": ("def f(a, b):\n    return a + b", "def f(a, b):\n    return b + a"),
    "parameters called by keyword": (
        "def g(a, b):\n    return a - b\ndef f(x):\n    return g(a=x, b=1)",
        "def g(b, a):\n    return b - a\ndef f(x):\n    return g(a=x, b=1)",
    ),
    "globals": (
        "def f():\n    def g():\n        global k\n        k = 1\n    k = 2\n    return g, k",
        "def f():\n    def g():\n        nonlocal k\n        k = 1\n    k = 2\n    return g, k",
    ),
    "what looks at names": ("def f(a):\n    return locals()", "def f(b):\n    return locals()"),
    "names read off functions": (
        "def f(a):\n    def g(): a\n    return g.__name__",
        "def f(a):\n    def h(): a\n    return h.__name__",
    ),
    "f-strings that print names": (
        "def f(a):\n    return f'{a=}'",
        "def f(b):\n    return f'{b=}'",
    ),
    "attributes": ("def f(a):\n    return a.x", "def f(a):\n    return a.y"),
    "names of the module": ("def f(a):\n    return g(a)", "def f(a):\n    return h(a)"),
    "types of constants": ("x = 1", "x = 1.0", "x = True", "x = '1'", "x = b'1'"),
    "mixed sets": ("x = {1, True}", "x = {True, 1}"),
    "side effects": ("x = g() > h()", "x = h() < g()"),
    "rebinding": ("def f(): return 1\ndef f(): return 2", "def f(): return 2\ndef f(): return 1"),
    "fields": ("class A:\n    x: int = 1", "class A:\n    x = 1"),
    "class attributes": (
        "def f(x):\n    class A:\n        y = x\n    return A.y",
        "def f(x):\n    class A:\n        z = x\n    return A.y",
    ),
    "walrus in a comprehension": (
        "def f(xs):\n    r = [(y := x) for x in xs]\n    return y",
        "def f(xs):\n    r = [(z := x) for x in xs]\n    return y",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_but_for_looks(name: str):
    first, *others = (program_class(source) for source in SAME[name])
    assert parses(first)
    assert others == [first] * len(others)


@pytest.mark.parametrize("name", APART)
def test_not_surely_the_same(name: str):
    classes = [program_class(source) for source in APART[name]]
    assert all(parses(c) for c in classes)
    assert len(set(classes)) == len(classes)


def test_text_that_does_not_parse_is_a_class_by_its_stripped_text():
    assert program_class("def f(:") == program_class("  def f(:\n")
    assert program_class("def f(:") != program_class("def g(:")
    assert not parses(program_class("def f(:"))


def random_program(rng: random.Random) -> str:
    """A few assignments among three names, some in a comprehension or an inner function."""
    names = rng.sample(["a", "b", "c"], 3)
    first, second = names[:2]

    def atom() -> str:
        return rng.choice([*names[:2], "1", "2"])

    lines = [f"def f({first}, {second}):"]
    for _ in range(rng.randint(1, 2)):
        target = rng.choice(names[:2])
        lines.append(
            rng.choice(
                [
                    f"    {target} = {atom()} {rng.choice('+-*')} {atom()}",
                    f"    {target} = sum({rng.choice(names)} for {rng.choice(names)} in range(3))"
                    if rng.random() < 0.2
                    else f"    {target} = [{first} for {first} in range({atom()})][-1:] == []",
                    f"    {target} = (lambda {rng.choice(names)}: {atom()} - 1)({atom()})",
                    f"    {target} = {atom()} {rng.choice(['<', '>', '==', '>='])} {atom()}",
                ]
            )
        )
    return "\n".join([*lines, f"    return {atom()}, {atom()}"])


def behaviour(source: str) -> tuple[object, ...]:
    """What a program of ours returns on a few inputs; a fault counts as a result."""
    scope: dict[str, object] = {"a": 70, "b": 80, "c": 90}
    exec(source, scope)
    results: list[object] = []
    for pair in [(0, 1), (3, 2), (-2, 5), (4, 4)]:
        try:
            results.append(scope["f"](*pair))  # type: ignore[operator]
        except Exception as error:
            results.append(type(error))
    return tuple(results)


def test_programs_of_one_class_do_the_same():
    rng = random.Random(7)
    classes: dict[str, list[str]] = {}
    for _ in range(6000):
        source = random_program(rng)
        classes.setdefault(program_class(source), []).append(source)
    shared = [members for members in classes.values() if len(set(members)) > 1]
    assert len(shared) > 200
    for members in shared:
        assert len({behaviour(source) for source in set(members)}) == 1, members


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.permutations(["p", "q", "r"]))
def test_renaming_all_names_of_a_function_changes_nothing(seed: int, new: list[str]):
    source = random_program(random.Random(seed))
    # Free names belong to the module and would change the meaning; keep programs without them.
    head, *rest = source.split("\n")
    if any(name in " ".join(rest) and f"{name}" not in head[6:] for name in "abc"):
        return
    renamed = source
    for old, fresh in zip("abc", new, strict=True):
        renamed = "".join(fresh if t == old else t for t in split_names(renamed))
    assert program_class(renamed) == program_class(source)


def split_names(source: str) -> list[str]:
    tokens: list[str] = [""]
    for char in source:
        if char.isalnum() and tokens[-1].isalnum():
            tokens[-1] += char
        else:
            tokens.append(char)
    return tokens


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_class(text: str):
    assert program_class(text) == program_class(f"\n{text}\n") or text != text.strip()


HOSTILE = {
    "brackets": "(" * 20_000,
    "lambdas": "lambda:" * 7_000,
    "signs": "-" * 49_000 + "1",
    "sums": "a+" * 24_000 + "a",
    "attributes": "a" + ".a" * 24_000,
    "branches": "if a:pass\n" + "elif a:pass\n" * 4_000,
    "digits": "x=" + "9" * 49_000,
    "hexadecimal": "x=0x" + "f" * 49_000,
    "null": "a\0b",
    "surrogate": "x = '\udc80'",
    "loops": "[a for a in " * 120 + "a" + "]" * 120,
    "escapes": "x = '\\d' is 1",
    "long": "x = 1\n" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gets_a_class_and_no_more(name: str):
    assert program_class(HOSTILE[name]) == program_class(HOSTILE[name])


def test_all_classes_of_the_tables_differ():
    classes = [program_class(sources[0]) for sources in (*SAME.values(), *APART.values())]
    assert all(a != b for a, b in combinations(classes, 2) if a != program_class("x = 1"))
