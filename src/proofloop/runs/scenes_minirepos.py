"""Mini-repositories as scenes: files in memory, one tool, the shown tests for feedback."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from proofloop.agent.asks import Asks
from proofloop.agent.limits import Memory
from proofloop.agent.minirepos import Define, Definitions, Files, memory
from proofloop.agent.site import Site
from proofloop.agent.tools import Submit
from proofloop.core.task import AnswerKey, CallTests, Problem
from proofloop.core.verdict import Unscored
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.environment import call_tests
from proofloop.envs.minirepos.repository import Module, told, untold
from proofloop.runs.recipe_agent import AgentConfig
from proofloop.runs.scenes import Scene
from proofloop.train.crew import Assignment
from proofloop.verify import ProgramVerifier


class MiniReposSetting:
    """`agent.dialect = "definitions"`."""

    max_faults = 2
    at_once = None
    may_cut = False

    def __init__(
        self, config: AgentConfig, environment: MiniReposEnvironment, verifier: ProgramVerifier
    ) -> None:
        self.dialect = Definitions()
        self.memory: Memory | None = memory(config.notes_tokens) if config.notes_tokens else None
        self._feedback = config.feedback
        self._environment = environment
        self._verifier = verifier

    def scenes(self, assignment: Assignment, problem: Problem) -> tuple[Scene, ...]:
        place = (assignment.split, assignment.stratum, assignment.index)
        modules = self._environment.repository(*place)
        shown = _ShownTests(verifier=self._verifier, problem=problem, modules=modules)
        return tuple(self._scene(problem, modules, shown) for _ in range(assignment.num_samples))

    def _scene(self, problem: Problem, modules: tuple[Module, ...], shown: "_ShownTests") -> Scene:
        lost: list[Unscored] = []

        def tell(name: str, source: str) -> str:
            found = shown.told(name, source)
            if isinstance(found, Unscored):
                lost.append(found)
                return told(name, ())
            return found

        def play(begin: Callable[[Site], Asks]) -> Asks:
            files = Files({m.path: m.source for m in modules})
            done = yield from begin(Site(workspace=files))
            texts = files.texts()
            answer = self._environment.answer_of({m.path: texts[m.path] for m in modules})
            rollout = msgspec.structs.replace(done.rollout, answer=answer)
            return msgspec.structs.replace(done, rollout=rollout)

        names = tuple(m.name for m in modules)
        return Scene(
            messages=problem.task.messages,
            tools=(Define(names=names, tell=tell if self._feedback else None), Submit()),
            max_turns=2 * problem.task.stratum.horizon + 1,
            play=play,
            lost=lambda: lost[-1] if lost else None,
        )

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShownTests:
    """What the shown tests of one task's modules say; of equal texts, found out once."""

    verifier: ProgramVerifier
    problem: Problem
    modules: tuple[Module, ...]
    known: dict[tuple[str, str], str | Unscored] = field(
        default_factory=dict[tuple[str, str], "str | Unscored"]
    )

    def told(self, name: str, source: str) -> str | Unscored:
        """Of a module that had no bug, no more than that it is written."""
        if (name, source) not in self.known:
            self.known[name, source] = self._asked(name, source)
        return self.known[name, source]

    def _asked(self, name: str, source: str) -> str | Unscored:
        task, tests = self.problem.task, call_tests(self.modules)
        own = CallTests(
            calls=tuple(t for t in tests.calls if t.function == name),
            shown=tuple(t for t in tests.shown if t.function == name),
        )
        if not own.shown:
            return untold(name)
        found = self.verifier.look(task, AnswerKey(task_id=task.id, tests=own), source)
        return found if isinstance(found, Unscored) else told(name, found.shown)
