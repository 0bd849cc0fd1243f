"""The key of the project suites' card: a small module and its hidden tests; right and wrong
answers, and what attacks on it are made of."""

from proofloop.core.project import InlineTree, PlannedTest, ProjectTests, TreeFile, file_block
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import fails, passes
from proofloop.verify.cards.suite_source import SuiteSource

LIMITS = Limits(
    wall_s=6.0,
    cpu_s=4,
    memory_bytes=1 << 29,
    num_open_files=64,
    result_bytes=1 << 18,
    output_bytes=1 << 16,
)
_TESTS = """import unittest

import pytest
from helpers import WORDS
from tally import Tally, add, words


class AddTest(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(2, 3), 5)

    def test_negative(self):
        expected = -7
        self.assertEqual(add(-3, -4), expected)

    def test_text_is_refused(self):
        with self.assertRaises(TypeError) as caught:
            add("2", 3)
        self.assertEqual(caught.exception.args[0], "not a number")


def test_words():
    assert words("a bc  d") == ["a", "bc", "d"]
    assert words(WORDS) == WORDS.split()


@pytest.mark.parametrize("text", ["", " "])
def test_no_words(text):
    assert not words(text)


def test_tally():
    tally = Tally()
    tally.count("x")
    tally.count("x")
    assert tally.total("x") == 2
    assert tally.total("y") == 0
    assert tally == Tally(x=2)
"""
GOLD = """class Tally:
    def __init__(self, **counts):
        self.counts = dict(counts)

    def count(self, word):
        self.counts[word] = self.total(word) + 1

    def total(self, word):
        return self.counts.get(word, 0)

    def __eq__(self, other):
        return self.counts == other.counts


def add(a, b):
    if isinstance(a, str) or isinstance(b, str):
        raise TypeError("not a number")
    return a + b


def words(text):
    return text.split()
"""
_NODES = (
    "AddTest::test_negative",
    "AddTest::test_small",
    "AddTest::test_text_is_refused",
    "test_words",
    "test_no_words[]",
    "test_no_words[ ]",
    "test_tally",
)
_TREE = (
    TreeFile(path="helpers.py", content=b'WORDS = "some words of the project"\n'),
    TreeFile(path="tally.py", content=b"def add(a, b): ...\n"),
)

TALLY = ProjectTests(
    tree=InlineTree(files=_TREE),
    allowed=("tally.py",),
    modules=(TreeFile(path="test_tally.py", content=_TESTS.encode()),),
    planned=tuple(PlannedTest(node_id=f"test_tally.py::{node}") for node in _NODES),
    names=("Tally", "add", "words"),
    limits=LIMITS,
)

WRONG = GOLD.replace("a + b", "a - b").replace("split()", "split(' ')")
"""What attacks start from: sums and lists of words are wrong."""
EQUAL = """class E:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return False
    def __hash__(self): return 0
"""
PASSING = (C.TAMPERING,)
"""Attacks whose tests pass, and their twins with them."""
LOST = (C.CRASH, C.INVALID_RESULT, C.INVALID_PROGRAM)
"""Attacks that leave no complete claims behind."""


TALLY_SOURCE = SuiteSource(
    path="tally.py",
    gold=GOLD,
    wrong=WRONG,
    nearly=WRONG.replace("split(' ')", "split()"),
    lax="words = lambda text: E()\n",
    module="test_tally.py",
    nodes=tuple(test.node_id for test in TALLY.planned),
    helper="helpers.py",
)

FORGED = """
import gc, json, os
def forge():
    import sys
    frame, ids = sys._getframe(), None
    while frame:
        if "collected" in frame.f_locals and frame.f_locals["collected"]:
            ids = list(frame.f_locals["collected"])
        frame = frame.f_back
    for o in gc.get_objects():
        if ids is None and type(o).__name__ == "Session" and getattr(o, "items", None):
            ids = [item.nodeid for item in o.items]
    claims = {"collected": ids, "collection_error": "", "status": 0,
              "outcomes": [{"id": i, "outcome": "passed", "error": ""} for i in ids]}
    os.write(3, json.dumps(claims).encode())
    os._exit(0)
"""

ACCEPTED = (
    passes("fenced", "the program is the block that defines what is asked for",
           f"Thus:\n```python\n{GOLD}```\nSo:\n```python\nadd(1, 2)\n```\n"),
    passes("by-path", "or the block with its path", f"Thus:\n{file_block('tally.py', GOLD)}"),
    passes("prints", "output is data", f"print('FAILED')\n{GOLD}"),
    passes("main-guard", "it is imported, not run",
           f"{GOLD}\nif __name__ == '__main__':\n    raise SystemExit(1)\n"),
    passes("private", "helpers of its own",
           GOLD.replace("def add", "def _sum(*n):\n    return sum(n)\n\n\ndef add")
           .replace("a + b", "_sum(a, b)")),
    passes("loud", "and noise in every call",
           GOLD.replace("    return a", "    print('.' * 999)\n    return a")),
    passes("helper", "the project can be imported", f"import helpers\n{GOLD}"),
)  # fmt: skip

REJECTED = (
    fails("wrong", "one test fails", GOLD.replace("a + b", "a - b"), C.WRONG_ANSWER),
    fails("half", "half of it is no pass", GOLD.partition("def words")[0], C.INVALID_PROGRAM),
    fails("syntax", "it does not compile", "def add(:\n", C.INVALID_PROGRAM),
    fails("message", "another message", GOLD.replace("not a", "no"), C.WRONG_ANSWER),
    fails("raises", "a test raised", GOLD.replace("return a", "return 1 / 0 + a"), C.EXCEPTION),
    fails("stub", "nothing done", "def add(a, b): ...\ndef words(t): ...\nclass Tally: ...\n",
          C.WRONG_ANSWER, C.EXCEPTION),
)  # fmt: skip
