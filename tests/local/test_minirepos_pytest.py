"""Mini-repositories judged by files of pytest: the same tasks and verdicts as call by call."""

from collections.abc import Iterator

import msgspec
import pytest

from proofloop.core.project import ProjectTests
from proofloop.core.task import Split, Stratum
from proofloop.core.verdict import Scored
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.repository import Module, oracle_sources
from proofloop.runs.recipe import RewardConfig, RewardKind
from proofloop.runs.rewards import SOLVED, rewarded, solved_above
from proofloop.verify import ProgramVerifier, build_verifier

SETTINGS = {"complexity": (1, 2), "horizon": (1, 2, 4)}
CALLS = MiniReposEnvironment(**SETTINGS)  # type: ignore[arg-type]
FILES = MiniReposEnvironment(**SETTINGS, pytest=True)  # type: ignore[arg-type]
PLACES = [
    (Stratum(family="int", complexity=1, horizon=1), 0),
    (Stratum(family="list", complexity=1, horizon=2), 3),
    (Stratum(family="string", complexity=2, horizon=2), 1),
    (Stratum(family="list", complexity=2, horizon=4), 2),
]


@pytest.fixture(scope="module", name="judges")
def _judges() -> Iterator[ProgramVerifier]:
    with build_verifier() as built:
        yield built


def answers_of(modules: tuple[Module, ...]) -> dict[str, dict[str, str]]:
    """Sources by module, right ones and wrong ones."""
    right, given = oracle_sources(modules), {m.path: m.source for m in modules}
    first, *_ = (m for m in modules if m.is_buggy)
    return {
        "right": right,
        "as handed out": given,
        "all but one": right | {first.path: first.source},
        "no syntax": right | {first.path: f"def {first.name}(x:\n"},
        "nothing defined": right | {first.path: "x = 1\n"},
        "raises": right | {first.path: f"def {first.name}(x):\n    return 1 // 0\n"},
        "another type": right | {first.path: f"def {first.name}(x):\n    return None\n"},
    }


@pytest.mark.parametrize(
    ("stratum", "index"),
    [
        pytest.param(*p, id=p[0].label, marks=() if p is PLACES[1] else pytest.mark.slow)
        for p in PLACES
    ],
)
def test_verdicts_are_equal(judges: ProgramVerifier, stratum: Stratum, index: int) -> None:
    modules = CALLS.repository(Split.HELDOUT, stratum, index)
    assert modules == FILES.repository(Split.HELDOUT, stratum, index)
    for what, sources in answers_of(modules).items():
        passed = list[bool]()
        for environment in (CALLS, FILES):
            problem = environment.problem(Split.HELDOUT, stratum, index)
            verdict = judges.verify(problem.task, problem.key, environment.answer_of(sources))
            assert isinstance(verdict, Scored), verdict
            passed.append(verdict.passed)
        assert passed == [what == "right"] * 2, what


def test_they_are_the_same_tasks() -> None:
    for stratum, index in PLACES:
        one, other = (e.problem(Split.TRAIN, stratum, index) for e in (CALLS, FILES))
        assert one.task.messages == other.task.messages
        tests = other.key.tests
        assert isinstance(tests, ProjectTests)
        failing = {t.node_id.partition("::")[0] for t in tests.planned if t.was_failing}
        modules = FILES.repository(Split.TRAIN, stratum, index)
        assert failing == {f"tests/test_{m.name}.py" for m in modules if m.is_buggy}
        handed = FILES.handed_out(Split.TRAIN, stratum, index)
        assert handed.statement == other.task.messages[0].content.rstrip()
        hidden = b"".join(module.content for module in tests.modules)
        for file in handed.visible:
            asserts = [line for line in file.content.splitlines() if b"assert" in line]
            assert len(asserts) == 3
            assert not any(line in hidden for line in asserts)


STAGED = RewardConfig(kind=RewardKind.STAGED)


def test_a_staged_reward_tells_how_far_an_answer_came(judges: ProgramVerifier) -> None:
    stratum, index = PLACES[1]
    problem = FILES.problem(Split.TRAIN, stratum, index)
    modules = FILES.repository(Split.TRAIN, stratum, index)
    earned: dict[str, float] = {}
    for what, sources in (answers_of(modules) | {"nothing": {}}).items():
        verdict = judges.verify(problem.task, problem.key, FILES.answer_of(sources))
        assert isinstance(verdict, Scored)
        staged = rewarded(verdict, STAGED)
        assert isinstance(staged, Scored)
        assert msgspec.structs.replace(staged, reward=verdict.reward) == verdict, "nothing else"
        assert rewarded(verdict, RewardConfig()) is verdict
        assert (staged.reward > solved_above(STAGED)) == verdict.passed
        earned[what] = staged.reward
    assert earned["nothing"] == earned["no syntax"] == 0.0
    assert earned["nothing defined"] == pytest.approx(0.1), "it compiles"
    assert earned["as handed out"] == pytest.approx(0.2), "the tests load, and none is mended"
    assert 0.2 < earned["all but one"] < SOLVED
    assert earned["raises"] < earned["all but one"]
    assert earned["right"] == 1.0
