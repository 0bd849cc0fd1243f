"""Hidden tests grown from the oracle: the inputs, the choice of them, the file that is written."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proofloop.cli import main
from proofloop.core import value
from proofloop.core.sandbox import Limits
from proofloop.core.task import CheckProgram, Problem, Split
from proofloop.core.verdict import Scored
from proofloop.envs.assertions import tolerance_of
from proofloop.envs.data_file import Case
from proofloop.envs.humaneval import HumanEvalEnvironment
from proofloop.envs.mbpp import MbppEnvironment
from proofloop.runs.environments import iter_problems
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.audit.growth import answered, grow_tests, same
from proofloop.verify.audit.inputs import grow
from proofloop.verify.audit.seen import Seen
from proofloop.verify.check_program import verdict_and_asked

TWICE = {
    "task_id": "Weak/0",
    "prompt": 'def twice(x):\n    """Twice x.\n    >>> twice(2)\n    4\n    """\n',
    "entry_point": "twice",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "note": "kept",
}
UNORDERED = {
    "task_id": "Own/1",
    "prompt": 'def unlike(x):\n    """The unlike items of x."""\n',
    "entry_point": "unlike",
    "canonical_solution": "    return list(set(x))\n",
    "test": "def check(candidate):\n    assert sorted(candidate([1, 1])) == [1]\n",
}
MEAN = {
    "task_id": 7,
    "text": "Write a function to find the mean of a tuple.",
    "code": "def mean(x):\n    return sum(x) / len(x)",
    "test_list": ["assert mean((2, 2)) == 2.0", "assert mean((4, 4)) == 4.0"],
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ForkServerSandbox]:
    with open_sandbox() as opened:
        yield opened


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with build_verifier(None, Limits()) as built:
        yield built


def _written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _passes(verifier: ProgramVerifier, problem: Problem, answer: str) -> bool:
    verdict = verifier.verify(problem.task, problem.key, answer)
    assert isinstance(verdict, Scored), verdict
    return verdict.passed


# --- inputs ---


@pytest.mark.parametrize(
    ("old", "admitted", "refused"),
    [
        ([(3,), (9,)], [(5,), (12,)], [(-1,), (0,), (2,), (1000,), (True,), (3.0,), ()]),
        ([(-4,), (2,)], [(-8,), (0,)], [(-1000,)]),
        ([([2, 1],), ([5],)], [([3, 4, 1],), ([2],)], [([],), ([-9],), (["a"],), ([[1]],)]),
        ([([],), ([2, 1],)], [([],), ([1, 2],)], [(None,)]),
        ([([1, 3],), ([2, 5],)], [([1, 2],)], [([3, 1],), ([2, 2],)]),  # sorted, without repeats
        ([([[1, 2], [3, 4]],), ([[5]],)], [([[1, 2], [3, 5]],)], [([[1, 2], [3]],), ([[1, 2]],)]),
        ([("ab",), ("cde",)], [("xyz",), ("ab",)], [("",), ("a",), ("A bc",), ("ab1",)]),
        ([("()",), ("(())",)], [("()()",), (")(",)], [("a()",)]),
        ([("ab", "cd"), ("x", "y")], [("ef", "gh")], [("ef", "g")]),
        ([([1, 1, 1], 2), ([4, 0], 1)], [([1, 1, 0, 0], 3)], [([1, 1], 3)]),
        ([({"a": 1},), ({"b": 5, "c": 2},)], [({"c": 3},)], [({},), ({1: 1},), ({"a": "x"},)]),
    ],
)  # fmt: skip
def test_arguments_of_the_kind_that_was_seen(
    old: list[tuple[Any, ...]], admitted: list[tuple[Any, ...]], refused: list[tuple[Any, ...]]
) -> None:
    seen = Seen(old)
    assert [args for args in (*old, *admitted) if not seen.admits(args)] == []
    assert [args for args in refused if seen.admits(args)] == []


def test_grown_inputs_are_new_alike_and_the_same_twice() -> None:
    old: list[tuple[Any, ...]] = [([3, 1, 2], "ab", 1.5), ([5, 5], "ba c", -0.5)]
    found = list(grow(old, at_most=60, beyond=False, seed="s"))
    assert found == list(grow(old, at_most=60, beyond=False, seed="s"))
    assert found != list(grow(old, at_most=60, beyond=False, seed="t"))
    assert len({value.canonical(args) for args in (*found, *old)}) == 60 + 2
    assert all(Seen(old).admits(args) for args in found)
    wide = list(grow(old, at_most=60, beyond=True, seed="s"))
    assert {0} < {len(args[0]) for args in wide}
    assert any(not Seen(old).admits(args) for args in wide)
    assert old == [([3, 1, 2], "ab", 1.5), ([5, 5], "ba c", -0.5)]


def test_every_type_of_the_grammar_can_be_changed() -> None:
    rng = Random(0)
    for x in (True, 3, 2.5, "ab", [1, [2]], (1, "a"), {1, 2}, frozenset({3}), {"k": [1]}):
        found = list(grow([(x,), (x,)], at_most=5, beyond=True, seed=str(rng.random())))
        assert found, x
        for args in found:
            assert value.strictly_equal(value.decode(value.encode(args)), args)
    assert list(grow([(None, b"x", 1j)], at_most=5, beyond=True, seed="s")) == []
    assert list(grow([()], at_most=5, beyond=True, seed="s")) == []


# --- what the oracle says of them ---


def test_inputs_without_one_answer_are_dropped(sandbox: ForkServerSandbox) -> None:
    oracle = (
        "import random, time\ncalls = 0\n"
        "def f(x):\n    global calls\n    calls += 1\n"
        "    if x == 1: raise ValueError\n    if x == 2: return calls\n"
        "    if x == 3: return time.time_ns()\n    if x == 4:\n        while True: pass\n"
        "    if x == 5: return {x: lambda: 0}\n    if x == 6: raise SystemExit\n"
        "    return x * x\n"
    )
    found = answered(sandbox, "f", oracle, [(x,) for x in range(9)])
    assert [(test.args, test.wanted) for test in found] == [((0,), 0), ((7,), 49), ((8,), 64)]


def test_a_few_inputs_tell_all_wrong_programs_apart(sandbox: ForkServerSandbox) -> None:
    wrong = [
        "def f(x):\n    return x",
        "def f(x):\n    return -x if x != -3 else 3",
        "def f(x):\n    return abs(x) if x else 1 // x",
        "def f(x):\n    return x if x > 0 else -x",  # right
        "def f(x):\n    while x == 2: pass\n    return abs(x)",
    ]
    inputs = [(x,) for x in range(-5, 6)]
    growth = grow_tests(sandbox, "f", "def f(x):\n    return abs(x)", wrong, inputs, 0.0, bool)
    assert growth.told_apart == {0, 1, 2, 4}
    assert 2 <= len(growth.tests) <= 4
    assert all(test.wanted == abs(test.args[0]) for test in growth.tests)


def test_what_is_the_same_for_tests_in_python() -> None:
    assert same([1.0, (2, "a")], [1.0000001, (2, "a")], 1e-6)
    assert not same([1.0], [1.1], 1e-6)
    assert not same([1], (1,), 1e-6)
    assert not same(1.5, 10**400, 1e-6)
    assert not same("a", "b", 1e-6)


def test_what_the_tests_ask_is_recorded(sandbox: ForkServerSandbox) -> None:
    check = "def check(candidate):\n    for x in range(3):\n        assert candidate(x, [x]) == x\n"
    tests = CheckProgram(setup="", check=check, entry_point="f")
    verdict, asked = verdict_and_asked(sandbox, tests, "def f(x, y): return x", "", Limits())
    assert isinstance(verdict, Scored)
    assert [value.decode(args) for args in asked] == [(0, [0]), (1, [1]), (2, [2])]


# --- rows ---


@pytest.mark.parametrize(
    ("source", "tolerance"),
    [
        ("assert f(1) == 2", 1e-6),
        ("assert f(1) == 2, f'not {f(1)}'", 1e-6),
        ("assert not f(1)\nassert f(2) is None", 1e-6),
        ("assert abs(f(1) - 2) < 0.01", 0.01),
        ("assert math.isclose(f(1), 2, rel_tol=0.001)", 0.001),
        ("assert set(f(1)) == {2}", None),
        ("assert f(1) in (1, 2)", None),
        ("assert list(map(f, [1])) == [2]", None),
        ("x = f(1)\nassert x == 2", None),
        ("assert g(1) == 2", None),
        ("assert f(1) == 2 ==", None),
    ],
)
def test_how_results_are_compared_is_read_from_the_tests(
    source: str, tolerance: float | None
) -> None:
    assert tolerance_of(source, {"f"}) == tolerance


def test_a_row_takes_what_its_format_can_say(tmp_path: Path) -> None:
    (twice,) = HumanEvalEnvironment(_written(tmp_path / "a.jsonl", TWICE)).rows
    (mean,) = MbppEnvironment(_written(tmp_path / "b.jsonl", MEAN)).rows
    for args, by_json, by_literal in (
        (([1, "a", None, {"k": 1.5}],), True, True), (((1, 2),), False, True),
        (({1},), False, True), (({1: 2},), False, True), ((float("nan"),), False, False),
    ):  # fmt: skip
        assert twice.takes(Case(args, 1)) is by_json
        assert mean.takes(Case(args, 1)) is by_literal
    assert mean.takes(Case((1,), 0.5))
    assert not mean.takes(Case((1,), [0.5]))


def test_a_strengthened_humaneval_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], verifier: ProgramVerifier
) -> None:
    source = _written(tmp_path / "weak.jsonl", TWICE, UNORDERED)
    arguments = ["audit", "humaneval", "--data", str(source), "--strengthen"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    written = tmp_path / "weak.stronger.jsonl"
    assert (result["out"], result["num_changed"]) == (str(written), 1)
    assert result["unchanged"] == {"its tests hold results against something else than a value": 1}
    assert result["num_attacks_after"] < result["num_attacks_before"]
    assert result["num_weak_before"] >= 1
    changed, same_row = map(json.loads, written.read_text().splitlines())
    assert same_row == UNORDERED
    further = changed.pop("plus_input")
    assert changed == {**TWICE, "atol": 1e-6}
    assert all(type(args[0]) is int and args != [2] for args in further)

    old, new = (
        next(iter_problems(HumanEvalEnvironment(path), Split.HELDOUT, 1))
        for path in (source, written)
    )
    assert old.task.id != new.task.id
    assert old.task.messages == new.task.messages
    for answer, by_old, by_new in (
        (old.oracle, True, True), ("def twice(x): return x + 2", True, False),
        ("def twice(x): return {2: 4}.get(x)", True, False),
        ("def twice(x): return 5", False, False),
        (f"def twice(x): return {{{further[0][0]}: {2 * further[0][0]}}}.get(x)", False, False),
    ):  # fmt: skip
        assert (_passes(verifier, old, answer), _passes(verifier, new, answer)) == (by_old, by_new)

    assert main(arguments) == 2
    assert "exists" in capfd.readouterr().err
    assert main([*arguments, "--overwrite", "--beyond"]) == 0
    text = capfd.readouterr().out
    assert "likely equivalent" in text
    assert "hash of the content" in text


def test_a_strengthened_mbpp_file_and_one_of_evalplus(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], verifier: ProgramVerifier
) -> None:
    source, out = tmp_path / "mbpp.jsonl.gz", tmp_path / "out.jsonl.gz"
    source.write_bytes(gzip.compress(json.dumps(MEAN).encode()))
    arguments = ["--strengthen", "--out", str(out), "--json"]
    assert main(["audit", "mbpp", "--data", str(source), *arguments]) == 0
    row = json.loads(gzip.decompress(out.read_bytes()))
    assert row["test_list"][:2] == MEAN["test_list"]
    assert all(line.startswith("assert abs(mean((") for line in row["test_list"][2:])
    (problem,) = iter_problems(MbppEnvironment(out), Split.HELDOUT, 1)
    assert _passes(verifier, problem, problem.oracle)
    assert not _passes(verifier, problem, "def mean(x): return x[0] * 1.0")
    assert not _passes(verifier, problem, "def mean(x): return float(max(x))")

    row = {**TWICE, "test": "", "base_input": [[2]], "plus_input": [], "atol": 0}
    source = _written(tmp_path / "plus.jsonl", row)
    arguments[2] = str(tmp_path / "plus.out.jsonl")
    assert main(["audit", "humaneval", "--data", str(source), *arguments]) == 0
    written = json.loads((tmp_path / "plus.out.jsonl").read_text())
    assert (written["base_input"], len(written["plus_input"]) > 0) == ([[2]], True)
    capfd.readouterr()


def test_environments_without_such_a_file_say_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gsm8k = _written(tmp_path / "g.jsonl", {"question": "1 + 1?", "answer": "2\n#### 2"})
    for arguments in (["functions"], ["gsm8k", "--data", str(gsm8k)]):
        assert main(["audit", *arguments, "--strengthen"]) == 2
        assert "humaneval and mbpp" in capfd.readouterr().err
