"""Rollouts of several turns with tools: a worker's share of a step as episodes, all at once.

Whatever an episode's turns cost, it is one rollout with one verdict, of what its files are at the
end.  Not here: the loop (`agent.episode`), what tools do (`agent.minirepos`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from proofloop.agent.drive import drive
from proofloop.agent.episode import Asks, episode
from proofloop.agent.limits import EpisodeLimits
from proofloop.agent.minirepos import Define, Definitions, Files, memory
from proofloop.agent.site import Site
from proofloop.agent.tools import Submit
from proofloop.core.completion import Engine, SamplingParams
from proofloop.core.episode import Episode
from proofloop.core.errors import SandboxLost, UserError
from proofloop.core.rollout import Group, Judged, RolloutId
from proofloop.core.task import AnswerKey, CallTests, Problem
from proofloop.core.verdict import Unscored, Verdict
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.environment import call_tests
from proofloop.envs.minirepos.repository import Module, told, untold
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.recipe import AgentConfig
from proofloop.runs.seeds import sample_seed
from proofloop.store import RecordedGroup
from proofloop.store.rows import rollout_id
from proofloop.train.crew import Assignment, Attempted
from proofloop.verify import ProgramVerifier
from proofloop.verify.naming import verifier_name

Judge = Callable[[Assignment, Problem, RolloutId, str], Verdict]


@dataclass(slots=True, kw_only=True)
class _Open:
    """One episode and what it works on."""

    assignment: Assignment
    problem: Problem
    sample: int
    modules: tuple[Module, ...]
    files: Files
    lost: Unscored | None = None
    """Why a test that it should have been told of could not be run: no fault of its own."""

    @property
    def name(self) -> RolloutId:
        a = self.assignment
        return rollout_id(a.phase, a.step, a.slot, self.sample)


@dataclass(slots=True, kw_only=True)
class Episodes:
    """The parts of a worker that episodes need."""

    config: AgentConfig
    environment: MiniReposEnvironment
    sampling: SamplingParams
    seed: int
    tokenizer: ChatTokenizer
    engine: Engine
    verifier: ProgramVerifier
    judge: Judge
    max_positions: int
    _told: dict[tuple[int, str, str], str | Unscored] = field(
        default_factory=dict[tuple[int, str, str], "str | Unscored"]
    )
    """What is told of equal texts of one task's module is found out once."""
    _tests_s: float = 0.0

    def attempt(self, assignments: Sequence[Assignment], problems: Sequence[Problem]) -> Attempted:
        began = time.perf_counter()
        self._told.clear()
        self._tests_s = 0.0
        open_ = [
            [self._open(a, problem, sample) for sample in range(a.num_samples)]
            for a, problem in zip(assignments, problems, strict=True)
        ]
        flat = [one for group in open_ for one in group]
        done = iter(drive(self.engine, (self._begin(one) for one in flat), at_once=len(flat)))
        sampled = time.perf_counter()
        groups: list[RecordedGroup] = []
        for a, problem, group in zip(assignments, problems, open_, strict=True):
            attempts = tuple(self._judged(one, next(done)) for one in group)
            groups.append(
                RecordedGroup(
                    slot=a.slot,
                    task=problem.task,
                    group=Group(task_id=problem.task.id, attempts=attempts),
                    verifier=verifier_name(problem.key.tests),
                )
            )
        judged = time.perf_counter()
        return Attempted(
            groups=tuple(groups),
            sample_s=sampled - began - self._tests_s,
            verify_s=judged - sampled + self._tests_s,
        )

    def _open(self, assignment: Assignment, problem: Problem, sample: int) -> _Open:
        place = (assignment.split, assignment.stratum, assignment.index)
        modules = self.environment.repository(*place)
        return _Open(
            assignment=assignment,
            problem=problem,
            sample=sample,
            modules=modules,
            files=Files({m.path: m.source for m in modules}),
        )

    def _begin(self, one: _Open) -> Asks:
        config, horizon = self.config, one.problem.task.stratum.horizon
        return episode(
            one.problem.task.messages,
            site=Site(workspace=one.files),
            dialect=Definitions(),
            tokenizer=self.tokenizer,
            limits=EpisodeLimits(
                max_turns=config.turns or 2 * horizon + 1,
                max_turn_tokens=self.sampling.max_tokens,
                context_tokens=config.context_tokens or self.max_positions,
                max_faults=2,
            ),
            memory=memory(config.notes_tokens) if config.notes_tokens else None,
            tools=(
                Define(
                    names=tuple(m.name for m in one.modules),
                    tell=(lambda name, source: self._tell(one, name, source))
                    if config.feedback
                    else None,
                ),
                Submit(),
            ),
            sampling=self.sampling,
            seed_of=lambda turn: sample_seed(self.seed, one.assignment, one.sample, turn),
            id=one.name,
            task_id=one.problem.task.id,
        )

    def _tell(self, one: _Open, name: str, source: str) -> str:
        """What the module's shown tests say, or of one that had no bug, that it is written."""
        place = (one.assignment.slot, name, source)
        if place not in self._told:
            began = time.perf_counter()
            self._told[place] = self._asked(one, name, source)
            self._tests_s += time.perf_counter() - began
        found = self._told[place]
        if isinstance(found, Unscored):
            one.lost = found
            return told(name, ())
        return found

    def _asked(self, one: _Open, name: str, source: str) -> str | Unscored:
        task, tests = one.problem.task, call_tests(one.modules)
        own = CallTests(
            calls=tuple(t for t in tests.calls if t.function == name),
            shown=tuple(t for t in tests.shown if t.function == name),
        )
        if not own.shown:
            return untold(name)
        key = AnswerKey(task_id=task.id, tests=own)
        found = self.verifier.look(task, key, source)
        return found if isinstance(found, Unscored) else told(name, found.shown)

    def _judged(self, one: _Open, done: Episode | SandboxLost) -> Judged:
        assert isinstance(done, Episode), "files in memory are not lost"
        if not done.rollout.turns:
            raise UserError(
                f"task {one.problem.task.id}: its statement and a turn of "
                f"{self.sampling.max_tokens} tokens do not fit into "
                f"{self.config.context_tokens or self.max_positions}; raise agent.context_tokens "
                "or lower sampling.max_tokens, agent.notes_tokens or env.horizon"
            )
        texts = one.files.texts()
        answer = self.environment.answer_of({m.path: texts[m.path] for m in one.modules})
        rollout = msgspec.structs.replace(done.rollout, answer=answer)
        verdict = one.lost or self.judge(one.assignment, one.problem, rollout.id, answer)
        trajectory = done.trajectory.without_times()
        return Judged(rollout=rollout, verdict=verdict, trajectory=trajectory)
