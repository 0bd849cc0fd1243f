"""Many episodes, answered by one engine: each round, all that are open ask at once.

An episode's tokens depend on its own contexts and seeds, not on who else is open.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import msgspec

from proofloop.agent.asks import Answer, Ask, Asks, EpisodeLost, Timed
from proofloop.core.completion import Engine
from proofloop.core.episode import Episode
from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Workspace


class Talker(Protocol):
    """Whoever answers one episode: a server, a person, a script, an engine."""

    def answer(self, ask: Ask) -> Answer: ...


@dataclass(frozen=True, slots=True)
class EngineTalker:
    """An engine, for one episode."""

    engine: Engine

    def answer(self, ask: Ask) -> Timed:
        began = time.monotonic()
        ((completion,),) = self.engine.generate([ask.request])
        return Timed(completion=completion, seconds=time.monotonic() - began)


def drive(
    engine: Engine, episodes: Iterable[Asks], *, at_once: int = 64
) -> list[Episode | SandboxLost]:
    """In order.  SandboxLost in place of an episode: its workspace was lost, which says nothing of
    the policy.  At most `at_once` are open; the others are not begun before one of them is over.

    Raises what the engine raises; then no episode's workspace stays open.
    """
    waiting = enumerate(episodes)
    done: dict[int, Episode | SandboxLost] = {}
    open_: dict[int, tuple[Asks, Ask]] = {}
    try:
        while True:
            began_any = False
            for place, asks in islice(waiting, at_once - len(open_)):
                began_any = True
                _go_on(place, asks, None, open_, done)
            if not open_:
                if not began_any:
                    break
                continue
            asked = list(open_.items())
            began = time.monotonic()
            answers = engine.generate([ask.request for _, (_, ask) in asked])
            seconds = time.monotonic() - began
            for (place, (asks, _)), (completion,) in zip(asked, answers, strict=True):
                _go_on(place, asks, Timed(completion=completion, seconds=seconds), open_, done)
    finally:
        for asks, _ in open_.values():
            asks.close()
    return [done[place] for place in sorted(done)]


def _go_on(
    place: int,
    asks: Asks,
    answer: Answer | None,
    open_: dict[int, tuple[Asks, Ask]],
    done: dict[int, Episode | SandboxLost],
) -> None:
    open_.pop(place, None)
    try:
        ask = next(asks) if answer is None else asks.send(answer)
    except StopIteration as stop:
        done[place] = stop.value
    except SandboxLost as lost:
        done[place] = lost
    else:
        open_[place] = asks, ask


def talk(talker: Talker, asks: Asks, watch: Callable[[Ask], None] | None = None) -> Episode:
    """One episode, answered by a talker.  Raises what it or the episode raises."""
    answer: Answer | None = None
    try:
        while True:
            ask = next(asks) if answer is None else asks.send(answer)
            if watch is not None:
                watch(ask)
            answer = talker.answer(ask)
    except StopIteration as stop:
        return stop.value
    finally:
        asks.close()


def in_workspace(
    open_: Callable[[], Workspace],
    begin: Callable[[Workspace], Asks],
    answer: Callable[[Workspace], str],
) -> Asks:
    """An episode with a workspace of its own, opened when it is begun and closed when it is over;
    what is judged is what `answer` makes of the workspace, such as a diff."""
    with closing(open_()) as workspace:
        done = yield from begin(workspace)
        try:
            text = answer(workspace)
        except SandboxLost as lost:
            raise EpisodeLost(lost, done) from lost
        rollout = msgspec.structs.replace(done.rollout, answer=text)
        return msgspec.structs.replace(done, rollout=rollout)
