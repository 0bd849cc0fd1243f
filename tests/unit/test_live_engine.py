"""Requests that come and go: the same answers as in a batch, nobody waits for ever."""

import queue
from pathlib import Path

import numpy as np
import pytest
import torch

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.errors import ModelError, UserError
from proofloop.engine.live import LiveEngine, Update
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.render.tokenizer import ChatTokenizer

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
WAIT_S = 60


def engine_of(directory: Path) -> LocalEngine:
    model = load_model(directory)
    return LocalEngine(model, flatten(model), ChatTokenizer.load(directory).stop_ids)


def requests(num: int, max_tokens: int = 40) -> list[Request]:
    rng = np.random.default_rng(3)
    return [
        Request(
            context=tuple(rng.integers(4, 300, size=int(rng.integers(1, 40))).tolist()),
            seeds=tuple(range(10 * i, 10 * i + 3)),
            sampling=SamplingParams(max_tokens=max_tokens),
        )
        for i in range(num)
    ]


class Heard:
    """Collects the updates of one request."""

    def __init__(self) -> None:
        self.updates: queue.SimpleQueue[Update | Exception] = queue.SimpleQueue()

    def __call__(self, update: Update | Exception) -> None:
        self.updates.put(update)

    def to_the_end(self, places: int) -> list[list[Update]]:
        """Updates by place, once each has ended."""
        found: list[list[Update]] = [[] for _ in range(places)]
        while any(not u or u[-1].stop_reason is None for u in found):
            update = self.updates.get(timeout=WAIT_S)
            assert isinstance(update, Update), update
            found[update.place].append(update)
        return found


def test_answers_are_those_of_a_batch_piece_by_piece(tiny_model: Path) -> None:
    batch = requests(7)
    wanted = engine_of(tiny_model).generate(batch)
    live = LiveEngine(engine_of(tiny_model))
    try:
        heard = [Heard() for _ in batch]
        for request, ear in zip(batch, heard, strict=True):
            live.submit(request, ear)
        for ear, completions in zip(heard, wanted, strict=True):
            for updates, wanted_one in zip(ear.to_the_end(3), completions, strict=True):
                assert sum((u.tokens for u in updates), ()) == wanted_one.tokens
                assert sum((u.logprobs for u in updates), ()) == wanted_one.logprobs
                assert updates[-1].stop_reason == wanted_one.stop_reason
                assert updates[-1].policy.sha256 == wanted_one.policy.sha256
                assert len(updates) >= len(wanted_one.tokens) // 16
    finally:
        live.close()


def test_a_cancelled_request_makes_room_and_the_others_go_on(tiny_model: Path) -> None:
    live = LiveEngine(engine_of(tiny_model))
    try:
        long, short = Heard(), Heard()
        endless = SamplingParams(max_tokens=400, temperature=20.0)
        ticket = live.submit(Request(context=(5, 6), seeds=(1,), sampling=endless), long)
        assert isinstance(long.updates.get(timeout=WAIT_S), Update)
        live.cancel(ticket)
        live.submit(requests(1)[0], short)
        short.to_the_end(3)
        left = 0
        while not long.updates.empty():
            update = long.updates.get()
            assert isinstance(update, Update)
            left += len(update.tokens)
        assert left < 390
    finally:
        live.close()


def test_who_waits_hears_that_the_engine_was_closed(tiny_model: Path) -> None:
    live = LiveEngine(engine_of(tiny_model))
    heard = Heard()
    endless = SamplingParams(max_tokens=400, temperature=20.0)
    live.submit(Request(context=(5, 6), seeds=tuple(range(64)), sampling=endless), heard)
    live.close()
    last = None
    while not heard.updates.empty():
        last = heard.updates.get()
    assert isinstance(last, RuntimeError)
    assert "closed" in str(last)


def test_a_model_that_has_diverged_is_told_to_whom_it_concerns(tiny_model: Path) -> None:
    engine = engine_of(tiny_model)
    with torch.no_grad():
        engine.model.model.norm.weight[0] = float("nan")
    live = LiveEngine(engine)
    try:
        heard = Heard()
        live.submit(requests(1)[0], heard)
        assert isinstance(heard.updates.get(timeout=WAIT_S), ModelError)
    finally:
        live.close()


def test_what_can_never_be_answered_is_refused_at_once(tiny_model: Path) -> None:
    live = LiveEngine(engine_of(tiny_model))
    try:
        with pytest.raises(UserError, match="positions, the model has 512"):
            live.submit(requests(1, max_tokens=600)[0], Heard())
    finally:
        live.close()


def test_an_engine_without_the_kernel_is_refused(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    with pytest.raises(ValueError, match="kernel"):
        LiveEngine(LocalEngine(model, flatten(model), (0,), kernel=False))
