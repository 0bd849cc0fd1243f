"""The loop of an agent, as a generator: it asks, is answered, acts, and asks again.

    asks = episode(task.messages, site=…, dialect=…, tokenizer=…, limits=…)
    ask = next(asks)
    while True: ask = asks.send(answer)      # until StopIteration, whose value is the Episode

So whoever answers is of no concern to it: `agent.drive` answers for many episodes at once by one
engine, `agent.policies` by a server, a person or a script.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from proofloop.agent.asks import Ask, Asks, EpisodeLost, Said, Timed
from proofloop.agent.dialects import Chat, Dialect, Reading
from proofloop.agent.limits import EpisodeLimits, Memory
from proofloop.agent.site import Site, cut
from proofloop.agent.tools import STANDARD, Tool, ToolSpec, use
from proofloop.agent.transcript import Transcript
from proofloop.core.completion import Completion, Request, SamplingParams, StopReason
from proofloop.core.episode import (
    Episode,
    EpisodeEnding,
    Step,
    ToolCall,
    ToolResult,
    Trajectory,
)
from proofloop.core.errors import SandboxLost
from proofloop.core.rollout import Rollout, RolloutId
from proofloop.core.task import Message, TaskId
from proofloop.render.tokenizer import ChatTokenizer

NO_MORE = EpisodeLimits()
PLAIN = SamplingParams()


def episode(
    messages: Sequence[Message],
    *,
    site: Site,
    dialect: Dialect,
    tokenizer: ChatTokenizer | None,
    limits: EpisodeLimits = NO_MORE,
    memory: Memory | None = None,
    tools: Sequence[Tool] = STANDARD,
    sampling: SamplingParams = PLAIN,
    seed_of: Callable[[int], int] = int,
    id: str = "episode",
    task_id: str = "",
    model: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Asks:
    """One attempt; `site.workspace` stays open, for whoever wants to see what became of it.

    `seed_of`: from a turn's number.  The limits say how many tokens a turn may have, whatever
    `sampling` says; the dialect adds stop strings.  Raises EpisodeLost and ModelError: faults of
    ours, after which there is no episode.
    """
    specs = tuple(tool.spec for tool in tools)
    task = tuple({"role": m.role, "content": m.content} for m in messages)
    transcript = Transcript(
        tokenizer=tokenizer, tools=dialect.shown(specs), first=dialect.opening(task, specs)
    )
    run = _Run(
        site=site,
        dialect=dialect,
        limits=limits,
        memory=memory,
        tools=tuple(tools),
        specs=specs,
        task=task,
        transcript=transcript,
        clock=clock,
    )

    def record(ending: EpisodeEnding) -> Episode:
        last = run.steps[-1].text if run.steps else ""
        turns = tuple(run.transcript.turns)
        opening = dialect.opening(task, specs)
        return Episode(
            rollout=Rollout(id=RolloutId(id), task_id=TaskId(task_id), turns=turns, answer=last),
            trajectory=Trajectory(
                ending=ending,
                steps=tuple(run.steps),
                denied=tuple(site.denied),
                notes=site.all_notes,
                model=model,
                dialect=dialect.name,
                opening=tuple(Message(role=m["role"], content=m["content"]) for m in opening),
            ),
        )

    ending = run.ending()
    while ending is None:
        answer = yield run.ask(sampling, seed_of(len(run.steps)))
        try:
            ending = answer if isinstance(answer, EpisodeEnding) else run.take(answer)
        except SandboxLost as lost:
            raise EpisodeLost(lost, record(EpisodeEnding.INTERRUPTED)) from lost
    return record(ending)


@dataclass(slots=True, kw_only=True)
class _Run:
    """An episode under way."""

    site: Site
    dialect: Dialect
    limits: EpisodeLimits
    memory: Memory | None
    tools: tuple[Tool, ...]
    specs: tuple[ToolSpec, ...]
    task: tuple[Chat, ...]
    transcript: Transcript
    clock: Callable[[], float]
    steps: list[Step] = field(default_factory=list[Step])
    asks_for_notes: bool = False
    num_faults: int = 0

    def ask(self, sampling: SamplingParams, seed: int) -> Ask:
        most = self.limits.max_turn_tokens
        if self.asks_for_notes and self.memory is not None:
            most = self.memory.max_notes_tokens
        if self.limits.max_sampled_tokens is not None:
            most = min(most, self.limits.max_sampled_tokens - self._num_sampled())
        wanted = SamplingParams(
            max_tokens=most,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            stop=() if self.asks_for_notes else (*sampling.stop, *self.dialect.stop),
        )
        return Ask(
            request=Request(context=self.transcript.seen, seeds=(seed,), sampling=wanted),
            messages=tuple(self.transcript.messages),
            tools=self.transcript.tools,
        )

    def take(self, answer: Completion | Timed | Said) -> EpisodeEnding | None:
        """What the policy said, what comes of it, and whether that is the end."""
        seconds = 0.0
        if isinstance(answer, Timed):
            answer, seconds = answer.completion, answer.seconds
        length = self.transcript.length
        completion = answer if isinstance(answer, Completion) else None
        text = self._text(answer) if isinstance(answer, Completion) else answer.text
        calls = () if isinstance(answer, Completion) else answer.calls
        self.transcript.say(_said(text, calls), completion)
        if isinstance(answer, Completion):
            counts = length, len(answer.tokens), seconds, 0.0
        else:
            counts = (
                answer.num_context_tokens or length, answer.num_sampled_tokens,
                answer.seconds, answer.cost,
            )  # fmt: skip
        if self.asks_for_notes:
            self._remember(text, counts)
            return self.ending()
        self.site.step = len(self.steps)
        is_cut = completion is not None and completion.stop_reason is StopReason.LENGTH
        reading = Reading(calls=calls) if calls else self.dialect.read(text)
        if reading.fault and is_cut:
            most = self.limits.max_turn_tokens
            reading = Reading(fault=f"the answer was cut off after {most} tokens; be shorter")
        results = self._act(reading.calls)
        self.num_faults = 0 if reading.calls else self.num_faults + 1
        self._note_step(text, reading, results, counts)
        ending = self.ending()
        if ending is None:
            ending = self._tell(reading, results)
        return ending

    def ending(self) -> EpisodeEnding | None:
        """By the limits that hold before another turn."""
        limits, steps = self.limits, self.steps
        if self.site.is_submitted:
            return EpisodeEnding.SUBMITTED
        if self.num_faults >= limits.max_faults:
            return EpisodeEnding.NO_CALLS
        if sum(not step.is_memory for step in steps) >= limits.max_turns:
            return EpisodeEnding.TURN_LIMIT
        if (
            limits.max_sampled_tokens is not None
            and self._num_sampled() >= limits.max_sampled_tokens
        ):
            return EpisodeEnding.TOKEN_LIMIT
        spent = sum(s.seconds + sum(r.seconds for r in s.results) for s in steps)
        if limits.max_seconds is not None and spent >= limits.max_seconds:
            return EpisodeEnding.TIME_LIMIT
        if limits.max_cost is not None and sum(s.cost for s in steps) >= limits.max_cost:
            return EpisodeEnding.COST_LIMIT
        if not self.asks_for_notes and not self._fits(self.transcript.length):
            return EpisodeEnding.CONTEXT_OVERFLOW
        return None

    def _text(self, completion: Completion) -> str:
        """Without the stop token, with whatever other special tokens were sampled."""
        tokenizer, tokens = self.transcript.tokenizer, completion.tokens
        if tokenizer is None:
            raise ValueError("a completion answers an episode that has no tokenizer")
        if completion.stop_reason is StopReason.STOP:
            tokens = tokens[:-1]
        return tokenizer.decode(tokens, keep_special=True)

    def _act(self, calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """In order, until one hands in."""
        results: list[ToolResult] = []
        for call in calls:
            if self.site.is_submitted:
                break
            began = self.clock()
            result = use(self.tools, self.site, call)
            results.append(msgspec.structs.replace(result, seconds=self.clock() - began))
        return tuple(results)

    def _tell(self, reading: Reading, results: tuple[ToolResult, ...]) -> EpisodeEnding | None:
        """The results; where there is no room for them and another turn, the request for notes with
        as much of them as there is room for."""
        say = f"[not understood: {reading.fault}]" if reading.fault else ""
        replies = self.dialect.replies(reading.calls, results, say)
        if self._fits(self.transcript.length_with(replies)):
            self.transcript.reply(replies)
            return None
        if self.memory is None:
            return EpisodeEnding.CONTEXT_OVERFLOW
        say = f"{say}\n\n{self.memory.ask}".strip()
        room = self.limits.context_tokens - self.memory.max_notes_tokens
        longest = max((len(result.text) for result in results), default=0)
        while longest > 0:
            results = tuple(_cut(result, longest) for result in results)
            replies = self.dialect.replies(reading.calls, results, say)
            if self.transcript.length_with(replies) <= room:
                break
            longest = longest // 2 if longest > _SHORTEST else 0
        else:
            results = tuple(_cut(result, 0) for result in results)
            replies = self.dialect.replies((), (), say)
            if self.transcript.length_with(replies) > room:
                return EpisodeEnding.CONTEXT_OVERFLOW
        self.steps[-1] = msgspec.structs.replace(self.steps[-1], results=results)
        self.transcript.reply(replies)
        self.asks_for_notes = True
        return None

    def _remember(self, text: str, counts: "_Counts") -> None:
        """A new context, of the task and the notes."""
        assert self.memory is not None, "asked for notes"
        self._note_step(text, Reading(), (), counts, is_memory=True)
        self.asks_for_notes = False
        self.site.memory = text.rpartition("</think>")[2].strip()
        notes = f"{self.memory.heading}\n{self.site.all_notes}"
        *above, last = self.task
        last = {**last, "content": f"{last['content']}\n\n{notes}"}
        self.transcript.begin(self.dialect.opening([*above, last], self.specs))

    def _fits(self, length: int) -> bool:
        """Whether after a context of so many tokens there is room for a turn and, with memory, for
        a request for notes after it, and for the notes."""
        reserve = 0
        if self.memory is not None:
            asked = self.dialect.replies((), (), self.memory.ask)
            reserve = self.transcript.length_with(asked) - self.transcript.length
            reserve += self.memory.max_notes_tokens
        return length + self.limits.max_turn_tokens + reserve <= self.limits.context_tokens

    def _num_sampled(self) -> int:
        return sum(step.num_sampled_tokens for step in self.steps)

    def _note_step(
        self,
        text: str,
        reading: Reading,
        results: tuple[ToolResult, ...],
        counts: "_Counts",
        *,
        is_memory: bool = False,
    ) -> None:
        num_context, num_sampled, seconds, cost = counts
        self.steps.append(
            Step(
                text=text,
                calls=reading.calls,
                results=results,
                fault=reading.fault,
                is_memory=is_memory,
                num_context_tokens=num_context,
                num_sampled_tokens=num_sampled,
                seconds=seconds,
                cost=cost,
            )
        )


_Counts = tuple[int, int, float, float]
"""Tokens of context, tokens sampled, seconds, US dollars."""
_SHORTEST = 40


def _cut(result: ToolResult, most: int) -> ToolResult:
    text, num_cut = cut(result.text, most)
    return msgspec.structs.replace(result, text=text, num_cut=result.num_cut + num_cut)


def _said(text: str, calls: Sequence[ToolCall]) -> Chat:
    message: dict[str, object] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.tool, "arguments": c.arguments}}
            for c in calls
        ]
    return message
