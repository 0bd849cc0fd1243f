"""Rollouts of several turns with tools: a worker's share of a step as episodes, all at once.

Whatever an episode's turns cost, it is one rollout with one verdict, of what its files are at the
end.  Not here: the loop of one episode (`agent.episode`), and what it works on, with which tools,
and what is judged in the end: that is the setting's (`runs.scenes`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from proofloop.agent.asks import Asks, EpisodeLost
from proofloop.agent.drive import drive
from proofloop.agent.episode import episode
from proofloop.agent.limits import EpisodeLimits
from proofloop.agent.site import Site, cut
from proofloop.core.completion import Engine, SamplingParams
from proofloop.core.episode import Episode
from proofloop.core.errors import SandboxLost, UserError
from proofloop.core.rollout import Group, Judged, RolloutId
from proofloop.core.task import Message, Problem
from proofloop.core.verdict import Tier, Unscored, UnscoredCause, Verdict
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.recipe_agent import AgentConfig
from proofloop.runs.scenes import Scene, Setting
from proofloop.runs.seeds import sample_seed
from proofloop.store import RecordedGroup
from proofloop.store.rows import rollout_id
from proofloop.train.crew import Assignment, Attempted
from proofloop.verify.naming import verifier_name

Judge = Callable[[Assignment, Problem, RolloutId, str], Verdict]
PAUSES_S = (0.0, 1.0)
"""Before lost episodes are begun anew, from their first turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """One rollout to be, and what it works on."""

    assignment: Assignment
    problem: Problem
    sample: int
    scene: Scene
    messages: tuple[Message, ...]
    """The scene's, as far as there is room for them."""

    @property
    def name(self) -> RolloutId:
        a = self.assignment
        return rollout_id(a.phase, a.step, a.slot, self.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """The parts of a worker that episodes need."""

    config: AgentConfig
    setting: Setting
    sampling: SamplingParams
    seed: int
    tokenizer: ChatTokenizer
    engine: Engine
    judge: Judge
    tier: Tier
    max_positions: int

    def attempt(self, assignments: Sequence[Assignment], problems: Sequence[Problem]) -> Attempted:
        """Raises UserError for a task that does not fit, SandboxLost where workspaces cannot be
        opened at all."""
        began = time.perf_counter()
        open_ = [self._opened(a, p) for a, p in zip(assignments, problems, strict=True)]
        flat = [one for group in open_ for one in group]
        driven = self._driven(flat)
        self._check_fits(flat, driven)
        done = iter(driven)
        sampled = time.perf_counter()
        tools_s = 0.0
        groups: list[RecordedGroup] = []
        for a, problem, group in zip(assignments, problems, open_, strict=True):
            found = [next(done) for _ in group]
            tools_s += sum(map(_tools_s, found))
            attempts = tuple(map(self._judged, group, found))
            groups.append(
                RecordedGroup(
                    slot=a.slot,
                    task=msgspec.structs.replace(problem.task, messages=group[0].scene.messages),
                    group=Group(task_id=problem.task.id, attempts=attempts),
                    verifier=verifier_name(problem.key.tests),
                )
            )
        judged = time.perf_counter()
        return Attempted(
            groups=tuple(groups),
            sample_s=sampled - began - tools_s,
            verify_s=judged - sampled + tools_s,
        )

    def close(self) -> None:
        self.setting.close()

    def _opened(self, assignment: Assignment, problem: Problem) -> list[_Open]:
        scenes = self.setting.scenes(assignment, problem)
        messages = self._fitted(scenes[0])
        return [
            _Open(
                assignment=assignment,
                problem=problem,
                sample=sample,
                scene=scene,
                messages=messages,
            )
            for sample, scene in enumerate(scenes)
        ]

    def _fitted(self, scene: Scene) -> tuple[Message, ...]:
        """Where the setting lets a statement be cut: with room for two turns and for notes."""
        setting, tokenizer = self.setting, self.tokenizer
        if not setting.may_cut:
            return scene.messages
        room = self._context_tokens - 2 * self.sampling.max_tokens
        if setting.memory is not None:
            room -= setting.memory.max_notes_tokens + len(tokenizer.encode(setting.memory.ask))
        specs = tuple(tool.spec for tool in scene.tools)

        def fits(messages: Sequence[Message]) -> bool:
            chat = tuple({"role": m.role, "content": m.content} for m in messages)
            shown = setting.dialect.shown(specs)
            opening = tokenizer.opening(setting.dialect.opening(chat, specs), tools=shown)
            return len(opening) <= room

        return cut_to_fit(scene.messages, fits)

    @property
    def _context_tokens(self) -> int:
        return self.config.context_tokens or self.max_positions

    def _driven(self, open_: Sequence[_Open]) -> list[Episode | SandboxLost]:
        """In order.  What was lost is begun anew: its seeds are the same, and so it says the same
        as if nothing had been lost."""
        found = self._drive_once(open_)
        for pause_s in PAUSES_S:
            again = [i for i, one in enumerate(found) if isinstance(one, SandboxLost)]
            if not again:
                break
            time.sleep(pause_s)
            for i, one in zip(again, self._drive_once([open_[i] for i in again]), strict=True):
                found[i] = one
        return found

    def _drive_once(self, open_: Sequence[_Open]) -> list[Episode | SandboxLost]:
        at_once = self.setting.at_once or max(1, len(open_))
        return drive(self.engine, map(self._begin, open_), at_once=at_once)

    def _begin(self, one: _Open) -> Asks:
        config, scene, setting = self.config, one.scene, self.setting

        def begin(site: Site) -> Asks:
            return episode(
                one.messages,
                site=site,
                dialect=setting.dialect,
                tokenizer=self.tokenizer,
                limits=EpisodeLimits(
                    max_turns=config.turns or scene.max_turns,
                    max_turn_tokens=self.sampling.max_tokens,
                    context_tokens=self._context_tokens,
                    max_faults=setting.max_faults,
                ),
                memory=setting.memory,
                tools=scene.tools,
                sampling=self.sampling,
                seed_of=lambda turn: sample_seed(self.seed, one.assignment, one.sample, turn),
                id=one.name,
                task_id=one.problem.task.id,
            )

        return scene.play(begin)

    def _check_fits(self, open_: Sequence[_Open], done: Sequence[Episode | SandboxLost]) -> None:
        """Raises UserError for tasks that nobody could say a word to."""
        ids = [
            one.problem.task.id
            for one, found in zip(open_, done, strict=True)
            if isinstance(found, Episode) and not found.rollout.turns
        ]
        if not ids:
            return
        found = list(dict.fromkeys(ids))
        others = f" (and those of {len(found) - 1} others)" if len(found) > 1 else ""
        raise UserError(
            f"task {found[0]}: its statement{others} and a turn of {self.sampling.max_tokens} "
            f"tokens do not fit into {self._context_tokens}; raise "
            "agent.context_tokens or lower sampling.max_tokens, agent.notes_tokens or "
            "env.horizon, or leave tasks out (env.leave_out)"
        )

    def _judged(self, one: _Open, done: Episode | SandboxLost) -> Judged:
        lost = one.scene.lost()
        if isinstance(done, SandboxLost):
            if not isinstance(done, EpisodeLost):
                raise done  # there is nothing of it to record
            cause = UnscoredCause.SANDBOX_LOST
            lost, done = Unscored(cause=cause, detail=str(done), tier=self.tier), done.episode
        rollout = done.rollout
        verdict = lost or self.judge(one.assignment, one.problem, rollout.id, rollout.answer)
        trajectory = done.trajectory.without_times()
        return Judged(rollout=rollout, verdict=verdict, trajectory=trajectory)


def _tools_s(done: Episode | SandboxLost) -> float:
    if not isinstance(done, Episode):
        return 0.0
    return sum(result.seconds for step in done.trajectory.steps for result in step.results)


def cut_to_fit(
    messages: tuple[Message, ...], fits: Callable[[Sequence[Message]], bool]
) -> tuple[Message, ...]:
    """With as much of the last message, its beginning and its end, as fits; as they are where even
    nothing of it would."""
    if fits(messages):
        return messages
    *above, last = messages

    def of(most: int) -> tuple[Message, ...]:
        text, _ = cut(last.content, most)
        return (*above, msgspec.structs.replace(last, content=text))

    low, high = 0, len(last.content)
    if not fits(of(low)):
        return messages
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(of(middle)) else (low, middle)
    return of(low)
