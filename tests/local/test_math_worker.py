"""Final answers for real: the cards with the worker, bombs, lost workers, and real data."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.errors import WorkerLost
from proofloop.core.task import AnswerKey, MathAnswer, Split, Stratum, Task, TaskId
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.envs.data_file import DataFileEnvironment
from proofloop.envs.gsm8k import Gsm8kEnvironment
from proofloop.envs.math import MathEnvironment
from proofloop.runs.environments import iter_problems
from proofloop.sandbox.descendants import descendants
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.cards.math_answers import BOMBS
from proofloop.verify.judge import PAUSES_S
from proofloop.verify.math.prover import Prover, ProverLimits
from proofloop.verify.math.verdicts import verify_answer
from proofloop.verify.math.worker import MAX_QUESTIONS, Outcome, Reply

DATA = Path(__file__).parents[3] / "shared" / "data"
HARD = MathAnswer(gold="\\sqrt{2+\\sqrt3}")
HARD_ANSWER = "\\boxed{\\frac{\\sqrt6+\\sqrt2}{2}}"
SLOW = MathAnswer(gold="2^{2^{2}}")
SLOW_ANSWER = "\\boxed{9^{9^{(9^9)}}}"
FOR_THE_WORKER = (
    ("\\ln 8", "3 \\ln 2"), ("\\sqrt{2+\\sqrt{3}}", "\\frac{\\sqrt{6}+\\sqrt{2}}{2}"),
    ("2^{n+1}", "2 \\cdot 2^n"), ("\\cos \\frac{\\pi}{3}", "\\frac12"),
)  # fmt: skip
TASK = Task(
    id=TaskId("card@0"),
    env="cards",
    split=Split.HELDOUT,
    stratum=Stratum(family="card", complexity=0, horizon=1),
    messages=(),
)


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with build_verifier() as built:
        yield built


@pytest.fixture(scope="module")
def prover() -> Iterator[Prover]:
    built = Prover(ProverLimits(cpu_s=1))
    yield built
    built.close()


def verify(verifier: ProgramVerifier, key: MathAnswer, completion: str) -> Verdict:
    return verifier.verify(TASK, AnswerKey(task_id=TASK.id, tests=key), completion)


def worker_pid(prover: Prover) -> int:
    assert prover._worker is not None
    return prover._worker[0].pid


@pytest.mark.parametrize(("gold", "text"), BOMBS, ids=lambda text: text[:20])
def test_a_bomb_costs_at_most_its_limit_and_no_neighbour(
    prover: Prover, gold: str, text: str
) -> None:
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    start = time.monotonic()
    verdict = verify_answer(prover, MathAnswer(gold=gold), f"\\boxed{{{text}}}", Tier.T0)
    assert time.monotonic() - start < 25
    assert isinstance(verdict, Scored), verdict
    assert verdict.reward == 0.0
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    assert len(descendants(worker_pid(prover))) == 1  # what answered last


def test_a_child_answers_many_questions_and_not_for_ever(prover: Prover) -> None:
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    pids: list[int] = []
    for _ in range(MAX_QUESTIONS + 1):
        verify_answer(prover, MathAnswer(gold="2^{n+1}"), "\\boxed{2 \\cdot 2^n}", Tier.T0)
        pids += descendants(worker_pid(prover))
    assert len(pids) >= MAX_QUESTIONS
    assert len(set(pids)) == 2


def test_no_question_depends_on_those_before(prover: Prover) -> None:
    pairs = [
        *FOR_THE_WORKER, ("2^{n+1}", "2 \\cdot 2^{n-1}"), ("\\sqrt{2+\\sqrt{3}}", "1.93185165257"),
        ("\\cos \\frac{\\pi}{3}", "\\frac13"), ("x^{y+1}", "x^y x"), ("e^{x+y}", "e^x e^y"),
    ]  # fmt: skip
    causes: list[dict[tuple[str, str], str]] = []
    for order in (pairs, pairs[::-1], pairs[::2] + pairs[1::2]):
        causes.append({})
        for gold, text in order:
            verdict = verify_answer(prover, MathAnswer(gold=gold), f"\\boxed{{{text}}}", Tier.T0)
            causes[-1][gold, text] = verdict.cause
    assert causes[0] == causes[1] == causes[2]
    assert {*causes[0].values()} == {ScoredCause.PASSED, ScoredCause.WRONG_ANSWER}


def test_a_time_limit_is_each_question_s_own(prover: Prover) -> None:
    """A child that has used up more than that before is not held to it."""
    (pid,) = _child_after_a_question(prover)
    question = ("\\sqrt{2+\\sqrt{3}}", f"\\boxed{{{FOR_THE_WORKER[1][1]}}}")
    ticks = os.sysconf("SC_CLK_TCK")
    used_s = 0.0
    for _ in range(MAX_QUESTIONS - 2):
        cause = verify_answer(prover, MathAnswer(gold=question[0]), question[1], Tier.T0).cause
        assert cause is ScoredCause.PASSED
        if not Path(f"/proc/{pid}").exists():
            break
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used_s = (int(stat[11]) + int(stat[12])) / ticks
        if used_s > 1.5:
            break
    assert used_s > 1.5  # of 1 s a question
    assert descendants(worker_pid(prover)) == [pid]


def test_an_idle_child_that_is_killed_is_replaced(prover: Prover) -> None:
    (pid,) = _child_after_a_question(prover)
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    (other,) = _child_after_a_question(prover)
    assert other != pid


def _child_after_a_question(prover: Prover) -> list[int]:
    verify_answer(prover, SLOW, SLOW_ANSWER, Tier.T0)  # after which any child is new
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    return descendants(worker_pid(prover))


def test_a_time_out_is_the_answers(prover: Prover) -> None:
    assert verify_answer(prover, SLOW, SLOW_ANSWER, Tier.T0).cause is ScoredCause.TIME_LIMIT


def test_wall_time_without_processor_time_is_ours() -> None:
    starved = Prover(ProverLimits(cpu_s=60, wall_s=0.5))
    try:
        with pytest.raises(WorkerLost, match="processor time"):
            verify_answer(starved, SLOW, SLOW_ANSWER, Tier.T0)
    finally:
        starved.close()


def test_memory_is_the_answers() -> None:
    tight = Prover(ProverLimits(memory_bytes=1 << 20))
    try:
        key = MathAnswer(gold="(x+y+z+1)^{64}(x+1)")
        verdict = verify_answer(tight, key, "\\boxed{(x+y+z+1)^{63}(x^2+xy+xz+2x+y+z+1)}", Tier.T0)
        assert isinstance(verdict, Scored)
        assert verdict.cause in (ScoredCause.MEMORY_LIMIT, ScoredCause.CRASH)
    finally:
        tight.close()


def test_a_worker_that_dies_in_between_is_replaced(prover: Prover) -> None:
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    os.kill(worker_pid(prover), signal.SIGKILL)
    with pytest.raises(WorkerLost):
        verify_answer(prover, HARD, HARD_ANSWER, Tier.T0)
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_one_that_is_killed_in_mid_flight_is_our_loss(victim: str) -> None:
    prover = Prover(ProverLimits(cpu_s=20, wall_s=30.0))
    try:
        assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
        pid = worker_pid(prover)

        def kill() -> None:
            deadline = time.monotonic() + 20
            while not (children := descendants(pid)) and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(1.0)  # by now it computes
            os.kill(children[0] if victim == "child" else pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(WorkerLost):
            verify_answer(prover, SLOW, SLOW_ANSWER, Tier.T0)
        killer.join()
    finally:
        prover.close()


def test_a_lost_worker_is_tried_again_and_in_the_end_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for num_losses, cause in (
        (1, ScoredCause.PASSED),
        (1 + len(PAUSES_S), UnscoredCause.WORKER_LOST),
    ):
        losses = [None] * num_losses

        def ask(self: Prover, key: MathAnswer, text: str, losses: list[None] = losses) -> Reply:
            if losses:
                losses.pop()
                raise WorkerLost("as ordered")
            return Reply(outcome=Outcome.EQUAL)

        monkeypatch.setattr(Prover, "ask", ask)
        with build_verifier() as verifier:
            assert verify(verifier, HARD, HARD_ANSWER).cause is cause


def test_a_bug_of_ours_is_no_zero(
    verifier: ProgramVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> Reply:
        return Reply(outcome=Outcome.BUG, detail="ours")

    monkeypatch.setattr(Prover, "ask", bug)
    verdict = verify(verifier, HARD, HARD_ANSWER)
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.VERIFIER_BUG


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    prover = Prover()
    assert verify_answer(prover, HARD, HARD_ANSWER, Tier.T0).cause is ScoredCause.PASSED
    pid = worker_pid(prover)
    prover.close()
    assert not Path(f"/proc/{pid}").exists()
    assert open_files() == before


@pytest.mark.parametrize(
    ("build", "file"), [(Gsm8kEnvironment, "gsm8k_test"), (MathEnvironment, "math_model_solutions")]
)
def test_oracles_pass_and_those_of_other_problems_fail(
    build: Callable[[Path], DataFileEnvironment[Any]], file: str, verifier: ProgramVerifier
) -> None:
    path = DATA / f"{file}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no ../shared/data/{path.name}")
    problems = list(iter_problems(build(path), Split.HELDOUT, 2000))
    for problem, other in zip(problems, problems[1:] + problems[:1], strict=True):
        assert verifier.verify(problem.task, problem.key, problem.oracle).cause == "passed"
        assert verifier.verify(problem.task, problem.key, "").cause == "no_answer"
        if _gold(problem.key) != _gold(other.key):
            shuffled = verifier.verify(problem.task, problem.key, other.oracle)
            assert isinstance(shuffled, Scored)
            assert shuffled.reward == 0.0, (problem.key, other.oracle)


def _gold(key: AnswerKey) -> str:
    assert isinstance(key.tests, MathAnswer)
    return key.tests.gold.replace(",", "")
