"""Project suites without a sandbox: what an answer may write, twins, plans, claims, judgements."""

import struct

import msgspec
import pytest

from proofloop.core.codec import to_json
from proofloop.core.project import InlineTree, PlannedTest, ProjectTests, TreeFile
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import ScoredCause as C
from proofloop.sandbox.suite import frames
from proofloop.verify.projects.claims import Claims, Failure, Outcome, read_report
from proofloop.verify.projects.judge import judge
from proofloop.verify.projects.plan import Run, runs_of
from proofloop.verify.projects.submission import Refusal, submission_of
from proofloop.verify.projects.twins import apply, twins_of

SOURCE = b"""import unittest
import pytest


class Base(unittest.TestCase):
    def test_base(self):
        self.assertTrue(f(1))


class Derived(Base):
    def test_own(self):
        expected = ["a", {"b": 2}]
        self.assertEqual(f(2), expected)


def test_plain():
    assert f("x") == "\xc3\xa9t\xc3\xa9", "why"


@pytest.mark.parametrize("x", [1, 2])
def test_each(x):
    with pytest.raises(ValueError):
        f(x)


def test_nothing():
    for x in range(f(0)):
        assert x == 1
"""
TESTS = ProjectTests(
    tree=InlineTree(files=()),
    allowed=("f.py",),
    modules=(TreeFile(path="t/test_f.py", content=SOURCE),),
    planned=tuple(
        PlannedTest(node_id=f"t/test_f.py::{name}")
        for name in (
            "Base::test_base",
            "Derived::test_base",
            "Derived::test_own",
            "test_plain",
            "test_each[1]",
            "test_each[2]",
            "test_nothing",
        )
    ),
)
IDS = tuple(test.node_id for test in TESTS.planned)


def twins(statements: str) -> list[str]:
    """Of a test method with this body: the bodies of all its twins."""
    body = "".join(f"        {line}\n" for line in statements.split("\n"))
    source = f"class T:\n    def test(self):\n{body}".encode()
    found = twins_of(source).get("T::test")
    edits = () if found is None else found.altered + found.negated
    changed = [apply(source, [edit]).decode().partition("def test(self):\n")[2] for edit in edits]
    return ["\n".join(line[8:] for line in text.splitlines()) for text in changed]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("self.assertEqual(f(1), 5)", ["self.assertEqual(f(1), 1)",
                                       "self.assertFalse((f(1)) == (5))"]),
        ("self.assertEqual('ab', f(1))", ["self.assertEqual('ac', f(1))",
                                          "self.assertFalse(('ab') == (f(1)))"]),
        ("e = -1.5\nself.assertEqual(f(1), e)", ["e = -2.5\nself.assertEqual(f(1), e)",
                                             "e = -1.5\nself.assertFalse((f(1)) == (e))"]),
        # A name that the call takes as well says nothing of what else would be right.
        ("e = 1\nself.assertEqual(f(e), e)", ["e = 1\nself.assertFalse((f(e)) == (e))"]),
        ("self.assertEqual(f(1), Clock(0))", ["self.assertFalse((f(1)) == (Clock(0)))"]),
        ("self.assertNotEqual(f(1), f(2))", ["self.assertFalse((f(1)) != (f(2)))"]),
        ("self.assertIs(f(1), True)", ["self.assertIs(f(1), False)",
                                       "self.assertIsNot(f(1), True)"]),
        ("self.assertAlmostEqual(f(1), 1e300)", ["self.assertNotAlmostEqual(f(1), 1e300)"]),
        ("self.assertAlmostEqual(f(1), 2.0, delta=9)",
         ["self.assertNotAlmostEqual(f(1), 2.0, delta=9)"]),
        ("self.assertAlmostEqual(f(1), 2.0, places=2)",
         ["self.assertAlmostEqual(f(1), 3.0, places=2)",
          "self.assertNotAlmostEqual(f(1), 2.0, places=2)"]),
        ("with self.assertRaises(ValueError):\n    f(1)",
         ["with self.assertRaises(TypeError):\n    f(1)"]),
        ("with self.assertRaises(OwnError):\n    f(1)",
         ["with self.assertRaises(ReferenceError):\n    f(1)"]),
        ("self.assertRaises((KeyError, E), f)", ["self.assertRaises(ReferenceError, f)"]),
        ("assert f(1)", ["assert not (f(1))"]),
        ("assert f(1) == [], 'm'", ["assert f(1) == [0], 'm'", "assert not (f(1) == []), 'm'"]),
        ("assert 1 < f(1) < 3", ["assert not (1 < f(1) < 3)"]),
        ("for x in (1, 2):\n    assert f(x)", ["for x in (1, 2):\n    assert not (f(x))"]),
        # Not surely reached, so a twin might pass on honest code.
        ("for x in f(0):\n    assert x == 1", []),
        ("if f(0):\n    assert f(1) == 1", []),
        ("if f(0):\n    return\nassert f(1) == 1", []),
        ("with f(0):\n    assert f(1) == 1", []),
        ("assert f(1) == ...", ["assert not (f(1) == ...)"]),
        ("self.assertEqual(*f(1))", []),
    ],
)  # fmt: skip
def test_twins_of_an_assertion(body: str, wanted: list[str]) -> None:
    assert twins(body) == wanted


def test_every_leaf_of_a_literal_can_be_altered() -> None:
    altered = twins("self.assertEqual(f(), [1, (True, b'z'), {'k': None}, ''])")[:-1]
    assert altered == [
        "self.assertEqual(f(), [2, (True, b'z'), {'k': None}, ''])",
        "self.assertEqual(f(), [1, (False, b'z'), {'k': None}, ''])",
        "self.assertEqual(f(), [1, (True, b'y'), {'k': None}, ''])",
        "self.assertEqual(f(), [1, (True, b'z'), {'k': False}, ''])",
        "self.assertEqual(f(), [1, (True, b'z'), {'k': None}, 'k'])",
    ]


HELPERS = b"""class T(Base):
    def test_a(self):
        self.check(f(1))

    def test_b(self):
        self.check(f(2))

    def check(self, x):
        self.assertIsNotNone(x)
        self.inner(x)

    def inner(self, x):
        if x:
            self.assertEqual(x, 1)
        same(x)


def same(x):
    assert x == 7


def test_c():
    f(3)


def test_d():
    if f(4):
        return
    assert f(5)
"""


def test_helpers_are_followed_and_every_test_has_a_twin_that_fails() -> None:
    found = twins_of(HELPERS)
    assert [apply(HELPERS, [edit]) for edit in found["T::test_a"].twins] == [
        HELPERS.replace(b"x == 7", b"x == 2")
    ]
    assert found["T::test_a"].twins == found["T::test_b"].twins
    assert [apply(HELPERS, [edit]) for edit in found["T::test_a"].negated] == [
        HELPERS.replace(b"assertIsNotNone", b"assertIsNone"),
        HELPERS.replace(b"assert x == 7", b"assert not (x == 7)"),
    ]
    assert b"    f(3)\n    assert 1 == 2\n" in apply(HELPERS, found["test_c"].twins)
    assert b"():\n    assert 1 == 2\n    if f(4)" in apply(HELPERS, found["test_d"].twins)
    # Tests that share a helper share its one twin in a run, and each has one.
    planned = [PlannedTest(node_id=f"t.py::{name}") for name in ("T::test_a", "T::test_b")]
    module = TreeFile(path="t.py", content=HELPERS)
    tests = msgspec.structs.replace(TESTS, modules=(module,), planned=tuple(planned))
    for i in range(10):
        runs = [run for run in runs_of(tests, str(i)) if run.twins]
        assert sorted(t for run in runs for t in run.twins) == [t.node_id for t in planned]
        assert all(run.modules["t.py"] != HELPERS for run in runs)


def test_another_value_looks_like_the_module_s_own() -> None:
    assert twins("self.assertEqual(f(7), 'won')\nself.assertEqual(f(9), 'lost')")[:2] == [
        "self.assertEqual(f(7), 'lost')\nself.assertEqual(f(9), 'lost')",
        "self.assertEqual(f(7), 'won')\nself.assertEqual(f(9), 'won')",
    ]
    # Near enough for a comparison of numbers to forgive it.
    assert twins("assertEqual(f(), 1.1, 1.3)\nself.assertAlmostEqual(f(), 1.2)")[0].endswith("2.2)")


def test_a_module_that_does_not_parse_has_no_twins() -> None:
    assert twins_of(b"def test_f(:\n") == {}
    assert twins_of(b"# \xff\ndef test_f():\n    assert 1\n") == {}


def test_the_plan_holds_the_real_run_and_a_twin_of_every_test_once() -> None:
    runs = runs_of(TESTS, "answer")
    real = [run for run in runs if not run.twins]
    assert [run.modules for run in real] == [{"t/test_f.py": SOURCE}]
    twins = [test for run in runs for test in run.twins]
    assert sorted(twins) == sorted(IDS)
    for run in runs:
        changed = run.modules["t/test_f.py"] != SOURCE
        assert changed == bool(run.twins)
        assert len(run.twins.intersection(IDS[4:6])) in (0, 2)  # cases of one function
    assert len({run.seed for run in runs}) == 1


def test_the_plan_depends_on_answer_and_tests_alone() -> None:
    assert runs_of(TESTS, "a") == runs_of(TESTS, "a")
    others = {tuple(map(str, runs_of(TESTS, f"answer {i}"))) for i in range(20)}
    assert len(others) == 20


def test_tests_that_are_excepted_have_no_twins() -> None:
    planned = [
        msgspec.structs.replace(test, has_twins="own" not in test.node_id, must_pass=i != 4)
        for i, test in enumerate(TESTS.planned)
    ]
    tests = msgspec.structs.replace(TESTS, planned=tuple(planned))
    twins = [test for run in runs_of(tests, "a") for test in run.twins]
    assert sorted(twins) == sorted((IDS[0], IDS[1], IDS[3], IDS[6]))


def test_strict_mode_plans_a_run_for_every_test_and_every_twin() -> None:
    tests = msgspec.structs.replace(TESTS, process_per_test=True)
    runs = runs_of(tests, "a")
    real = [run.select for run in runs if not run.twins]
    assert sorted(real) == sorted((node,) for node in IDS)
    assert sorted(run.select for run in runs if run.twins) == sorted((node,) for node in IDS)
    assert all(run.twins <= set(run.select or ()) for run in runs)


def test_one_allowed_file_is_the_answer_s_program() -> None:
    tests = msgspec.structs.replace(TESTS, names=("f",))
    assert submission_of("def f(): ...\n", tests) == {"f.py": b"def f(): ...\n"}
    answer = "So:\n```python\ndef f(): ...\n```\nand\n```python\nf()\n```\n"
    assert submission_of(answer, tests) == {"f.py": b"def f(): ...\n"}
    assert submission_of("```python f.py\nx = 1\n```\n", tests) == {"f.py": b"x = 1\n"}
    assert submission_of(" \n", tests) == Refusal(C.NO_ANSWER, "no file with anything in it")


@pytest.mark.parametrize(
    ("path", "allowed", "may"),
    [
        ("a.py", ("a.py", "b.py"), True),
        ("b.py", ("a.py",), False),
        ("src/a.py", ("src/*.py",), True),
        ("src/x/a.py", ("src/*.py",), False),
        ("src/x/y/a.py", ("src/**/a.py",), True),
        ("src/a.py", ("src/**/a.py",), True),
        ("src/x/y", ("src/**",), True),
        ("src", ("src/**",), False),
        ("axpy", ("a.py",), False),
        ("a.py", (), False),
        ("conftest.py", ("**",), False),
        ("x/CONFTEST.PY", ("**",), False),
        ("x/__pycache__/a.py", ("**",), False),
        ("a.pyc", ("**",), False),
        (".git/config", ("**",), False),
        ("../a.py", ("**",), False),
        ("/a.py", ("**",), False),
        ("a//b.py", ("**",), False),
        ("a\\b.py", ("**",), False),
        ("a\x01.py", ("**",), False),
        ("x" * 300, ("**",), False),
        ("t/test_f.py", ("**",), False),
        ("t/test_f.py", ("t/test_f.py",), False),
    ],
)
def test_what_an_answer_may_write(path: str, allowed: tuple[str, ...], may: bool) -> None:
    tests = msgspec.structs.replace(TESTS, allowed=allowed)
    found = submission_of(f"```python {path}\nx = 1\n```\n", tests)
    assert found == {path: b"x = 1\n"} if may else isinstance(found, Refusal)
    assert isinstance(found, dict) or found.cause is C.FORBIDDEN_FILE


def claims_of(run: Run, **outcomes: str) -> Claims:
    """All passed, twins failed, but for what is said of a place (`_3="skipped"`)."""
    ids = run.select or IDS
    given = {IDS[int(place[1:])]: outcome for place, outcome in outcomes.items()}
    return Claims(
        collected=IDS,
        outcomes=tuple(
            Outcome(id=i, outcome=given.get(i, "failed" if i in run.twins else "passed"), error="")
            for i in ids
        ),
        collection_error="",
        status=0,
    )


def real_and_others(tests: ProjectTests = TESTS) -> tuple[tuple[Run, ...], int]:
    runs = runs_of(tests, "a")
    return runs, next(i for i, run in enumerate(runs) if not run.twins)


def test_a_pass_needs_every_test_passed_and_every_twin_failed() -> None:
    runs, real = real_and_others()
    claims = [claims_of(run) for run in runs]
    assert judge(TESTS, runs, claims).cause is C.PASSED
    for place in range(len(IDS)):
        for outcome in ("failed", "skipped", "expected_failure", "incomplete", "PASSED", ""):
            changed = list(claims)
            changed[real] = claims_of(runs[real], **{f"_{place}": outcome})
            found = judge(TESTS, runs, changed)
            assert found.cause in (C.WRONG_ANSWER, C.EXCEPTION)
            assert found.num_passed == len(IDS) - 1
    for place in range(len(IDS)):
        changed = [claims_of(r, **({f"_{place}": "passed"} if r.twins else {})) for r in runs]
        assert judge(TESTS, runs, changed).cause is C.TAMPERING
        skipped = [claims_of(r, **({f"_{place}": "skipped"} if r.twins else {})) for r in runs]
        assert judge(TESTS, runs, skipped).cause is C.PASSED


def test_missing_surplus_and_reordered_results_are_no_pass() -> None:
    runs, _ = real_and_others()
    good = [claims_of(run) for run in runs]
    replace = msgspec.structs.replace
    for at, whole in enumerate(good):
        rows = whole.outcomes
        for bad in (
            replace(whole, outcomes=rows[:-1]),
            replace(whole, outcomes=()),
            replace(whole, outcomes=rows[1:]),
            replace(whole, outcomes=(*rows, rows[0])),
            replace(whole, outcomes=(rows[1], rows[0], *rows[2:])),
            replace(whole, collected=IDS[:-1]),
            replace(whole, collected=(*IDS, "t/test_f.py::test_more")),
            replace(whole, collected=IDS[::-1]),
            replace(whole, collection_error="ValueError"),
            Failure(cause=C.TIME_LIMIT, detail="late"),
        ):
            claims = [*good[:at], bad, *good[at + 1 :]]
            found = judge(TESTS, runs, claims)
            assert found.cause not in (C.PASSED, C.TAMPERING)
            assert found.num_passed < len(IDS)
    for cut in range(len(runs)):
        assert judge(TESTS, runs, good[:cut]).cause is C.CRASH


def test_tests_that_need_not_pass_must_be_reported() -> None:
    planned = (*TESTS.planned[:-1], PlannedTest(node_id=IDS[-1], must_pass=False))
    tests = msgspec.structs.replace(TESTS, planned=planned)
    runs, real = real_and_others(tests)
    claims = [claims_of(run) for run in runs]
    claims[real] = claims_of(runs[real], _6="expected_failure")
    assert judge(tests, runs, claims).cause is C.PASSED
    claims[real] = msgspec.structs.replace(claims[real], outcomes=claims[real].outcomes[:-1])
    assert judge(tests, runs, claims).cause is C.CRASH


LIMITS = Limits(cpu_s=4)
READY = frames.REPORT.pack(frames.READY, 0, 0, 0, 0.0, 0)


def run_frame(number: int, payload: bytes = b"", why: int = 0, status: int = 0) -> bytes:
    return frames.REPORT.pack(frames.RUN, number, why, status, 3.9, len(payload)) + payload


def test_reports_are_read_strictly() -> None:
    claims = Claims(collected=IDS, outcomes=(), collection_error="", status=0)
    good = run_frame(0, to_json(claims))
    assert read_report(READY + good, LIMITS, Claims).runs == (claims,)
    assert not read_report(b"", LIMITS, Claims).is_ready
    assert not read_report(good, LIMITS, Claims).is_ready
    assert read_report(READY + good[:-1], LIMITS, Claims).runs == ()
    assert read_report(READY + run_frame(1, to_json(claims)), LIMITS, Claims).runs == ()
    assert len(read_report(READY + good + READY + run_frame(1), LIMITS, Claims).runs) == 1
    extra = to_json(claims).replace(b'"status"', b'"more":1,"status"')
    for payload in (b"{}", b"[]", b"\xff", b"{", extra, b'{"passed": true}'):
        (found,) = read_report(READY + run_frame(0, payload), LIMITS, Claims).runs
        assert isinstance(found, Failure)
        assert found.cause is C.INVALID_RESULT


@pytest.mark.parametrize(
    ("why", "status", "cause"),
    [
        (frames.TIME_LIMIT, 9, C.TIME_LIMIT),
        (frames.FLOOD, 9, C.INVALID_RESULT),
        (frames.ENDED, 24, C.TIME_LIMIT),
        (frames.ENDED, 9, C.CRASH),
        (frames.ENDED, 11, C.CRASH),
        (frames.ENDED, 7 << 8, C.CRASH),
        (frames.ENDED, 0, C.CRASH),
    ],
)
def test_how_a_run_ended_without_claims(why: int, status: int, cause: C) -> None:
    (found,) = read_report(READY + run_frame(0, b"", why, status), LIMITS, Claims).runs
    assert isinstance(found, Failure)
    assert found.cause is cause


def test_a_size_that_no_report_has_is_no_reason_to_wait() -> None:
    lie = struct.pack("<BHBidI", frames.RUN, 0, 0, 0, 0.0, 2**32 - 1)
    assert read_report(READY + lie, LIMITS, Claims).runs == ()
