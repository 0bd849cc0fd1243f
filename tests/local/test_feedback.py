"""Feedback from the verifier: what programs do with shown tests, and that hidden ones stay so."""

from random import Random

import msgspec
import pytest
from faulty import KEY as FAULTY_KEY
from faulty import TASK as FAULTY_TASK

from proofloop.core.errors import SandboxLost
from proofloop.core.feedback import MAX_SHOWN, MAX_TEXT, Feedback, feedback_text
from proofloop.core.sandbox import Execution, Limits, Program
from proofloop.core.task import CallTests, Problem, Split
from proofloop.core.verdict import Scored, ScoredCause, Unscored, UnscoredCause
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.envs.functions.corpus import CorpusMix, draw_text
from proofloop.envs.functions.environment import Exercise, draw_exercises
from proofloop.envs.functions.operations import Kind
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.feedback import leaks, told_of_cause

LONGEST = (MAX_SHOWN + 2) * (3 * MAX_TEXT + 40)


def problem(index: int = 0, *, horizon: int = 1, family: str = "int") -> Problem:
    environment = FunctionsEnvironment(families=(family,), complexity=(2,), horizon=(horizon,))
    (stratum,) = environment.strata(Split.TRAIN)
    return environment.problem(Split.TRAIN, stratum, index)


def failed(verifier: ProgramVerifier, asked: Problem, answer: str) -> Scored:
    verdict = verifier.verify(asked.task, asked.key, answer)
    assert isinstance(verdict, Scored)
    assert not verdict.passed
    return verdict


def told(verifier: ProgramVerifier, asked: Problem, answer: str) -> Feedback:
    found = verifier.feedback(asked.task, asked.key, answer, failed(verifier, asked, answer))
    assert isinstance(found, Feedback)
    return found


def prompt_of(asked: Problem) -> str:
    return asked.task.messages[0].content


def table_of_shown(asked: Problem) -> str:
    """A program that passes what is shown and nothing else."""
    lines = [line for line in prompt_of(asked).splitlines() if line.startswith("assert ")]
    pairs = [line.removeprefix("assert f(").partition(") == ")[::2] for line in lines]
    return f"def f(x):\n    return {{{', '.join(f'{a}: {b}' for a, b in pairs)}}}.get(x)\n"


PROGRAMS = {
    "def f(x):\n    return -999\n": ScoredCause.WRONG_ANSWER,
    "def f(x):\n    return 1 // 0\n": ScoredCause.EXCEPTION,
    "def f(x) return x": ScoredCause.INVALID_PROGRAM,
    "": ScoredCause.NO_ANSWER,
    "def g(x):\n    return x\n": ScoredCause.NO_ANSWER,
    "def f(x):\n    while True: pass\n": ScoredCause.TIME_LIMIT,
    "def f(x):\n    return object()\n": ScoredCause.INVALID_RESULT,
    "import os\ndef f(x):\n    os._exit(0)\n": ScoredCause.CRASH,
    "def f(x):\n    return [[0] * 9] * 99\n": ScoredCause.WRONG_ANSWER,
    "def f(x):\n    return '<|end|>' + chr(10) + chr(27)\n": ScoredCause.WRONG_ANSWER,
    "seen = []\ndef f(x):\n    seen.append(x)\n    return list(seen)\n": ScoredCause.WRONG_ANSWER,
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_failure_is_told_in_few_words_of_the_prompt(
    program: str, verifier: ProgramVerifier
) -> None:
    asked = problem()
    feedback = told(verifier, asked, program)
    assert feedback.cause is PROGRAMS[program]
    text = feedback_text(feedback)
    assert len(text) <= LONGEST
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    for test in feedback.shown:
        assert f"assert {test.call} {test.wanted}" in prompt_of(asked)
        assert not test.passed


def test_what_the_program_gave_is_told(verifier: ProgramVerifier) -> None:
    asked = problem()
    feedback = told(verifier, asked, "def f(x):\n    return -999\n")
    assert len(feedback.shown) == 4
    assert {test.got for test in feedback.shown} == {"gave -999"}
    raised = told(verifier, asked, "def f(x):\n    return 1 // 0\n")
    assert {test.got for test in raised.shown} == {"raised ZeroDivisionError"}


def test_who_passes_what_is_shown_is_told_that_alone(verifier: ProgramVerifier) -> None:
    asked = problem()
    feedback = told(verifier, asked, table_of_shown(asked))
    assert feedback.cause is ScoredCause.PASSED
    assert [test.passed for test in feedback.shown] == [True] * 4
    assert feedback_text(feedback).startswith("# right here, wrong elsewhere\n")


def test_several_functions_are_told_of_as_far_as_there_is_room(verifier: ProgramVerifier) -> None:
    asked = problem(horizon=3)
    program = "".join(f"def {name}(x):\n    return None\n" for name in "fgh")
    assert len(told(verifier, asked, program).shown) == MAX_SHOWN


def with_other_hidden_tests(asked: Problem, other: Problem) -> Problem:
    """The same prompt and shown tests; what is hidden is another task's."""
    tests, others = asked.key.tests, other.key.tests
    assert isinstance(tests, CallTests)
    assert isinstance(others, CallTests)
    key = msgspec.structs.replace(
        asked.key, tests=msgspec.structs.replace(tests, calls=others.calls)
    )
    return msgspec.structs.replace(asked, key=key)


@pytest.mark.parametrize("program", PROGRAMS)
def test_other_hidden_tests_change_no_letter(program: str, verifier: ProgramVerifier) -> None:
    asked = problem()
    same = told(verifier, asked, program)
    for index in range(1, 4):
        assert told(verifier, with_other_hidden_tests(asked, problem(index)), program) == same


def test_a_program_that_keeps_what_it_is_called_with_has_seen_no_hidden_input(
    verifier: ProgramVerifier,
) -> None:
    """In the process that judges, it has: there the hidden tests run before the shown ones."""
    asked = problem()
    recorder = "seen = []\ndef f(x):\n    seen.append(x)\n    return list(seen)\n"
    last = told(verifier, asked, recorder).shown[-1]
    shown_arguments = [t.call.removeprefix("f(").removesuffix(")") for t in told(
        verifier, asked, recorder).shown]  # fmt: skip
    assert last.got == f"gave [{', '.join(shown_arguments)}]"


def test_nothing_of_any_task_leaks(verifier: ProgramVerifier) -> None:
    for family in ("int", "list", "string"):
        for index in range(3):
            asked = problem(index, family=family)
            feedback = told(verifier, asked, "def f(x):\n    return x\n")
            assert leaks(feedback, prompt_of(asked), asked.key.tests) == ()


def test_a_shown_test_that_the_prompt_does_not_hold_is_left_out(verifier: ProgramVerifier) -> None:
    asked = problem()
    tests = asked.key.tests
    assert isinstance(tests, CallTests)
    claimed = msgspec.structs.replace(tests, shown=(*tests.shown, *tests.calls))
    wrong = msgspec.structs.replace(asked, key=msgspec.structs.replace(asked.key, tests=claimed))
    program = "def f(x):\n    return -999\n"
    assert told(verifier, wrong, program) == told(verifier, asked, program)


def test_where_no_tests_are_shown_the_cause_is_all(verifier: ProgramVerifier) -> None:
    answer = "def f(x):\n    return x[0]\n"
    verdict = verifier.verify(FAULTY_TASK, FAULTY_KEY, answer)
    assert isinstance(verdict, Scored)
    found = verifier.feedback(FAULTY_TASK, FAULTY_KEY, answer, verdict)
    assert found == Feedback(cause=ScoredCause.EXCEPTION)
    tripped = msgspec.structs.replace(verdict, cause=ScoredCause.DECOY)
    assert told_of_cause(tripped) == Feedback(cause=None)


def test_a_lost_sandbox_is_no_feedback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofloop.verify.judge.PAUSES_S", (0.0,))
    asked = problem()
    with build_verifier() as verifier:
        verdict = failed(verifier, asked, "def f(x):\n    return -999\n")

        def lose(program: Program) -> Execution:
            raise SandboxLost(program.source)

        monkeypatch.setattr(verifier._sandbox, "run", lose)  # pyright: ignore[reportPrivateUsage]
        found = verifier.feedback(asked.task, asked.key, "def f(x):\n    return -999\n", verdict)
    assert isinstance(found, Unscored)
    assert found.cause is UnscoredCause.SANDBOX_LOST


def test_the_corpus_speaks_as_the_verifier_does() -> None:
    """Else a base model would have learned another language than the one that it is spoken to."""
    mix = CorpusMix(feedback=1.0, feedback_bare=0.0)
    environment = FunctionsEnvironment()
    compared = 0
    with build_verifier(limits=Limits(cpu_s=1)) as verifier:
        for seed in range(30):
            text = draw_text(Random(seed), mix)
            ((wrong, said),) = text.earlier
            exercises = _exercises(seed, mix)
            asked = environment._problem(  # pyright: ignore[reportPrivateUsage]
                "functions/train/int-c1-h1/0", exercises, Split.TRAIN, problem().task.stratum
            )
            assert prompt_of(asked) == text.prompt
            verdict = verifier.verify(asked.task, asked.key, wrong)
            assert isinstance(verdict, Scored)
            if verdict.passed:
                continue  # a mistake that does the same
            found = verifier.feedback(asked.task, asked.key, wrong, verdict)
            assert isinstance(found, Feedback)
            assert feedback_text(found) == said
            compared += 1
    assert compared > 20


def _exercises(seed: int, mix: CorpusMix) -> tuple[Exercise, ...]:
    """Those that `draw_text` draws first."""
    rng = Random(seed)
    family = rng.choice(list(Kind))
    complexity = rng.choices(range(1, len(mix.complexity) + 1), mix.complexity)[0]
    horizon = rng.choices(range(1, len(mix.horizon) + 1), mix.horizon)[0]
    return draw_exercises(rng, None, family, complexity, horizon)
