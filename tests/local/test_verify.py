"""Verdicts for real: broken keys, HumanEval, faults of ours, and that no secret crosses."""

import gzip
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from judging import score_of, task, verdict_of

from proofloop.core import value
from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Execution, Limits, Program
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    CheckProgram,
    JsonAnswer,
    Returns,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
    TaskId,
    TestCall,
    Tests,
)
from proofloop.core.verdict import ScoredCause, Tier, Unscored, UnscoredCause
from proofloop.sandbox import ForkServerSandbox
from proofloop.sandbox.descendants import descendants
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.cards.calls import CALLS, call_tests

_HUMANEVAL = Path(__file__).parents[3] / "shared" / "data" / "humaneval.jsonl.gz"


def test_call_tests_that_plan_nothing_or_do_not_decode_are_unscored(
    verifier: ProgramVerifier,
) -> None:
    good = call_tests().calls[0]
    broken = TestCall(function="f", args=good.args, wanted=Returns(value=b"l\xff\xff\xff\xff"))
    bare = TestCall(function="f", args=value.encode([0]), wanted=good.wanted)
    for calls in ((), (good, broken), (good, bare)):
        verdict = verdict_of(verifier, CallTests(calls=calls), "def f(x): return [x, x * x]")
        assert isinstance(verdict, Unscored)
        assert verdict.cause is UnscoredCause.INVALID_KEY


@pytest.mark.parametrize(
    ("setup", "check"),
    [
        ("", "def check(candidate):\n    pass"),
        ("", "def check(candidate):\n    assert undefined_name"),
        ("", "def check(candidate):\n    candidate(object())"),
        ("", "def check(candidate):\n    candidate(x=1)"),
        ("", "def check(candidate:"),
        ("import no_such_module", "def check(candidate):\n    assert candidate(1)"),
        ("", "raise SystemExit(0)"),
    ],
)
def test_tests_that_are_broken_themselves_are_unscored(
    verifier: ProgramVerifier, setup: str, check: str
) -> None:
    tests = CheckProgram(setup=setup, check=check, entry_point="f")
    verdict = verdict_of(verifier, tests, "def f(*a, **k): return 1")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY


def test_tests_that_never_end_are_our_deadline(
    verifier: ProgramVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(wall_s=0.5, cpu_s=1)
    monkeypatch.setattr("proofloop.verify.check_program.CHECKER_LIMITS", limits)
    tests = CheckProgram(
        setup="", check="def check(candidate):\n    while candidate(1): pass", entry_point="f"
    )
    loop = CheckProgram(
        setup="", check="def check(candidate):\n    while True: pass", entry_point="f"
    )
    verdict = verdict_of(verifier, loop, "def f(x): return 1")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.JUDGE_DEADLINE
    slow = score_of(verifier, tests, "import time\ndef f(x): return not time.sleep(9)")
    assert slow.cause is ScoredCause.TIME_LIMIT


def test_a_caught_exception_of_the_candidate_is_what_the_tests_see(
    verifier: ProgramVerifier,
) -> None:
    check = (
        "def check(candidate):\n    try:\n        candidate(0)\n"
        "    except ZeroDivisionError:\n        return\n    assert False\n"
    )
    tests = CheckProgram(setup="", check=check, entry_point="f")
    assert score_of(verifier, tests, "def f(x): return 1 / x").passed
    for other in ("def f(x): return {}[x]", "def f(x): return 1"):
        assert score_of(verifier, tests, other).reward == 0
    odd = "class Odd(Exception): pass\ndef f(x): raise Odd"
    assert score_of(verifier, tests, odd).cause is ScoredCause.EXCEPTION


def test_an_odd_value_that_makes_the_tests_raise_is_a_wrong_answer(
    verifier: ProgramVerifier,
) -> None:
    check = "def check(candidate):\n    assert abs(candidate(1) - 1.0) < 1e-6\n"
    tests = CheckProgram(setup="", check=check, entry_point="f")
    assert score_of(verifier, tests, "def f(x): return 1").passed
    for odd in ("'1'", "None", "[1]"):
        verdict = score_of(verifier, tests, f"def f(x): return {odd}")
        assert verdict.cause is ScoredCause.WRONG_ANSWER


def test_an_answer_may_continue_the_prefix_or_stand_alone(verifier: ProgramVerifier) -> None:
    prefix = "import math\ndef f(x):\n    '''Return [x, x * x].'''\n"
    for answer in ("    return [x, x * x]\n", "def f(x):\n    return [x, x * x]\n", prefix +
                   "    return [x, math.prod((x, x))]\n"):  # fmt: skip
        assert score_of(verifier, CALLS.tests, answer, prefix).passed


class _LosesRuns(ForkServerSandbox):
    """A real sandbox whose first `num_losses` runs are lost."""

    def __init__(self, tier: Tier, num_losses: int) -> None:
        super().__init__(tier)
        self.num_losses = num_losses

    def run(self, program: Program) -> Execution:
        if self.num_losses:
            self.num_losses -= 1
            raise SandboxLost("as ordered")
        return super().run(program)


def test_a_lost_sandbox_is_tried_again_and_then_unscored(verifier: ProgramVerifier) -> None:
    tier = verifier.tier
    for num_losses, cause in ((3, ScoredCause.PASSED), (4, UnscoredCause.SANDBOX_LOST)):
        with ProgramVerifier(_LosesRuns(tier, num_losses), Limits()) as flaky:
            assert verdict_of(flaky, CALLS.tests, CALLS.gold).cause is cause


def test_a_bug_of_ours_is_no_zero(
    verifier: ProgramVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("proofloop.verify.judge.verify_calls", broken)
    verdict = verdict_of(verifier, CALLS.tests, CALLS.gold)
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.VERIFIER_BUG
    assert "ours" in verdict.detail


def test_a_key_of_another_task_is_refused(verifier: ProgramVerifier) -> None:
    key = AnswerKey(task_id=TaskId("other@1"), tests=CALLS.tests)
    verdict = verifier.verify(task(), key, CALLS.gold)
    assert verdict.cause is UnscoredCause.INVALID_KEY


_GIVEN, _HIDDEN = os.urandom(12).hex(), os.urandom(12).hex()
_SLOW_CALL = "import time\ndef f(x):\n    time.sleep(1)\n    return x\n"
_SLOW_QUERY = (
    "SELECT x FROM t, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT COUNT(*) FROM n)"
)


def _secret_tests(kind: str) -> tuple[Tests, str]:
    """Tests that give `_GIVEN` and want `_HIDDEN`, and an answer that takes a second."""
    wanted = value.encode([(_HIDDEN,)])
    if kind == "calls":
        returns = Returns(value=value.encode(_HIDDEN))
        call = TestCall(function="f", args=value.encode((_GIVEN,)), wanted=returns)
        return CallTests(calls=(call,)), _SLOW_CALL
    if kind == "sql_query":
        setup = f"CREATE TABLE t AS SELECT '{_GIVEN}' AS x"
        instance = SqlInstance(setup=setup, wanted=SqlRows(rows=wanted))
        return SqlQuery(instances=(instance,)), _SLOW_QUERY
    if kind == "sql_state":
        setup = f"CREATE TABLE t AS SELECT '{_GIVEN}' AS x"
        check = SqlCheck(query="SELECT x FROM t", wanted=SqlRows(rows=wanted))
        instance = SqlStateInstance(setup=setup, checks=(check,))
        return SqlState(instances=(instance,)), f"CREATE TABLE slow AS {_SLOW_QUERY}"
    schema = json.dumps({"description": _GIVEN, "pattern": "^(a+)+$"})
    return JsonAnswer(wanted=json.dumps(_HIDDEN), schema=schema), f'"{"a" * 60}b"'


@pytest.mark.parametrize("kind", ["calls", "sql_query", "sql_state", "json"])
def test_expected_values_are_in_no_process_of_the_sandbox(
    verifier: ProgramVerifier, kind: str
) -> None:
    """Read the memory of the fork-server and of a running candidate, from outside."""
    tests, answer = _secret_tests(kind)
    verdict_of(verifier, CALLS.tests, CALLS.gold)
    assert verifier._sandbox._server is not None
    if verifier.tier is Tier.T3:
        pytest.skip("a container's processes are not below ours")
    server = verifier._sandbox._server.pid
    idle = len(descendants(server))
    judging = threading.Thread(target=verdict_of, args=(verifier, tests, answer))
    judging.start()
    memories: dict[int, bytes] = {}
    try:
        while judging.is_alive() and not any(_GIVEN.encode() in m for m in memories.values()):
            processes = [server, *descendants(server)]
            if len(processes) == idle + 2:
                memories = _memories_at_rest(processes)
    finally:
        judging.join()
    assert [pid for pid, memory in memories.items() if _HIDDEN.encode() in memory] == []
    given = [pid for pid, memory in memories.items() if _GIVEN.encode() in memory]
    assert given == list(memories)[-1:]


def _memories_at_rest(processes: list[int]) -> dict[int, bytes]:
    """Of those that are still there, the last one stopped while it is read."""
    try:
        os.kill(processes[-1], signal.SIGSTOP)
    except ProcessLookupError:
        return {}
    try:
        return {pid: _memory(pid) for pid in processes}
    finally:
        os.kill(processes[-1], signal.SIGCONT)


def _memory(pid: int) -> bytes:
    """All that a process can write to, where values live."""
    memory = b""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, permissions = line.split()[:2]
                if permissions.startswith("rw") and "[v" not in line:
                    start, end = (int(x, 16) for x in span.split("-"))
                    mem.seek(start)
                    memory += mem.read(end - start)
    except PermissionError as e:
        pytest.skip(f"this user may not read its own processes' memory: {e}")
    return memory


@pytest.mark.skipif(not _HUMANEVAL.exists(), reason="no ../shared/data/humaneval.jsonl.gz")
def test_humaneval_references_earn_one_and_empty_answers_nothing() -> None:
    with gzip.open(_HUMANEVAL) as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 164
    with build_verifier() as verifier:
        for row in rows:
            tests = CheckProgram(
                setup=row["prompt"] + "    pass\n",
                check=row["test"],
                entry_point=row["entry_point"],
            )
            whole = row["prompt"] + row["canonical_solution"]
            for answer, reward in ((whole, 1), (row["canonical_solution"], 1), ("", 0)):
                verdict = score_of(verifier, tests, answer, row["prompt"])
                assert verdict.reward == reward, (row["task_id"], verdict)


def test_a_number_that_the_tests_count_up_to_is_the_answers_fault(
    verifier: ProgramVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processor time that the tests use up on an answer's values earns 0: no way to be unscored."""
    limits = Limits(wall_s=30, cpu_s=1, result_bytes=1 << 20)
    monkeypatch.setattr("proofloop.verify.check_program.CHECKER_LIMITS", limits)
    check = "def check(candidate):\n    assert sum(1 for _ in range(candidate(3))) == 9\n"
    tests = CheckProgram(setup="", check=check, entry_point="f")
    assert score_of(verifier, tests, "def f(x): return x * x").passed
    endless = score_of(verifier, tests, "def f(x): return 10 ** 9000")
    assert endless.cause is ScoredCause.TIME_LIMIT
