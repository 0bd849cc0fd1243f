"""Mini-repositories: what is asked, what is hidden, and the words that corpus and agent share."""

from random import Random

import pytest

from proofloop.agent.dialects import Reading
from proofloop.agent.minirepos import Define, Definitions, Files, memory
from proofloop.agent.site import Site
from proofloop.agent.tools import use
from proofloop.core.errors import ConfigError, UserError
from proofloop.core.task import CallTests, Problem, Split, Stratum
from proofloop.core.value import decode
from proofloop.envs.functions.corpus import CorpusMix
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.corpus import draw_episode
from proofloop.envs.minirepos.repository import results, statement, told, untold

ENVIRONMENT = MiniReposEnvironment(complexity=(1, 2), horizon=(1, 2, 4))
STRATA = ENVIRONMENT.strata(Split.TRAIN)


def problems(num: int = 3) -> list[Problem]:
    return [ENVIRONMENT.problem(Split.TRAIN, s, i) for s in STRATA for i in range(num)]


@pytest.mark.parametrize("stratum", STRATA, ids=lambda s: s.label)
def test_as_many_bugs_as_the_horizon(stratum: Stratum) -> None:
    for i in range(5):
        modules = ENVIRONMENT.repository(Split.HELDOUT, stratum, i)
        buggy = [m for m in modules if m.is_buggy]
        assert len(buggy) == stratum.horizon
        assert len(modules) == min(stratum.horizon + 1, 4)
        for module in buggy:
            assert not all(t.passed for t in results(module, module.written)), "shown"
            assert any(module.written(a) != w for a, w in module.hidden), "hidden"
            assert all(t.passed for t in results(module, module.right))


def test_a_statement_tells_of_bugs_alone_and_of_no_hidden_test() -> None:
    for problem in problems():
        (message,) = problem.task.messages
        assert isinstance(problem.key.tests, CallTests)
        shown = {(t.function, t.args) for t in problem.key.tests.shown}
        hidden = {(t.function, t.args) for t in problem.key.tests.calls}
        assert not shown & hidden
        asked = message.content.splitlines()[0].removeprefix("# fix ").split(", ")
        assert {t.function for t in problem.key.tests.shown} == set(asked)
        for test in problem.key.tests.shown:
            (argument,) = decode(test.args)
            assert f"{test.function}({argument!r})" in message.content


def test_ids_find_their_problems() -> None:
    for problem in problems(1):
        assert ENVIRONMENT.find(problem.task.id) == problem
    with pytest.raises(UserError, match="an id looks like"):
        ENVIRONMENT.find("minirepos/train/int-c1-h9/0")
    with pytest.raises(UserError, match="has changed"):
        ENVIRONMENT.find("minirepos/train/int-c1-h1/0@0000")
    with pytest.raises(ConfigError, match=r"env\.horizon: 5 is not one of"):
        MiniReposEnvironment(horizon=(5,))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(x):\n    return x", ["f"]),
        ("f = lambda x: x\ng = lambda x: -x\n", ["f", "g"]),
        ("def f(x):\n    x = x[1:]\n    return x\ndef g(x):\n    return 1\n", ["f", "g"]),
        ("    def f(x): pass", []),
        ("", []),
        ("fix f", []),
    ],
)
def test_texts_are_read_as_definitions(text: str, names: list[str]) -> None:
    reading = Definitions().read(text)
    found = [use((Define(names=("f", "g"), tell=None),), site(), c).text for c in reading.calls]
    assert found == [untold(name) for name in names]
    assert bool(reading.fault) is not bool(names)


def test_done_hands_in() -> None:
    (call,) = Definitions().read(" done\n").calls
    assert call.tool == "submit"
    assert Definitions().read("done done") == Reading(fault="no definition")


def site() -> Site:
    return Site(workspace=Files({"f.py": "", "g.py": ""}))


def test_a_module_that_is_not_there_cannot_be_written() -> None:
    where = site()
    (call,) = Definitions().read("def os(x): pass").calls
    result = use((Define(names=("f", "g"), tell=None),), where, call)
    assert result.is_fault
    assert where.workspace.read("os.py", max_bytes=99) is None


def test_the_corpus_speaks_as_the_agent_does() -> None:
    """Whatever an author is told, an agent would be told in these words."""
    rng, mix = Random(0), CorpusMix(complexity=(0.6, 0.4), horizon=(0.3, 0.3, 0.2, 0.2))
    asked, seen = memory(20), set[str]()
    for _ in range(300):
        text = draw_episode(rng, mix)
        stem, *notes = text.prompt.split(f"\n\n{asked.heading}\n")
        assert stem.startswith("# fix ")
        assert len(notes) <= 1
        for answer, said in (*text.earlier, (text.answer, "")):
            reading = Definitions().read(answer)
            if reading.calls and said:
                (call,) = reading.calls
                rest = said.removesuffix(f"{asked.ask}\n")
                seen.add("notes" if rest != said else "tests" if "assert" in rest else rest[3:6])
                (reply,) = Definitions().replies(
                    reading.calls,
                    (site().result(rest),),
                    asked.ask if rest != said else "",
                )
                assert reply["content"] == said
                assert call.tool == "define"
    assert {"notes", "tests", " ok", " wr"} <= seen


def test_what_is_told_of_a_module() -> None:
    (module,) = (m for m in ENVIRONMENT.repository(Split.TRAIN, STRATA[0], 0) if m.is_buggy)
    assert told(module.name, results(module, module.right)) == f"# {module.name} ok\n"
    assert told(module.name, ()) == f"# {module.name} fails\n"
    assert told(module.name, results(module, module.written)) in statement((module,))
