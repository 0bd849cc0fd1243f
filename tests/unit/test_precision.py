"""Products in bfloat16 over float32 masters, and layers that are computed again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_native import SHAPES
from test_native_training import decoder
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.copies import RoundedCopy
from proofloop.engine.models.decoder import Cache, Decoder
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.train.config import LossKind
from proofloop.train.objective import Objective
from proofloop.train.samples import Bundle, Sample
from proofloop.train.trainer import GradientStats, accumulate, collate, trained_logprobs

MOST = 2**20
NAMES = list(SHAPES)


def bundles(model: Decoder, num_groups: int = 3, num_samples: int = 3) -> list[Bundle]:
    """Groups of made-up samples, longer than any window of `SHAPES`."""
    draw = torch.Generator().manual_seed(1)

    def some(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(model.config.vocab_size, (n,), generator=draw).tolist())

    made: list[Bundle] = []
    for g in range(num_groups):
        context = some(5 + 9 * g)
        made.append(
            Bundle(
                samples=tuple(
                    Sample(
                        context=context,
                        tokens=some(11 + 8 * s),
                        trained=(True,) * (11 + 8 * s),
                        sampler_logprobs=(-3.0,) * (11 + 8 * s),
                        advantages=(0.5 - s,) * (11 + 8 * s),
                    )
                    for s in range(num_samples)
                )
            )
        )
    return made


def gradient(model: Decoder, given: list[Bundle]) -> tuple[Tensor, GradientStats]:
    model.zero_grad()
    stats = accumulate(
        model,
        given,
        objective=Objective(loss=LossKind.POLICY_GRADIENT),
        denominator=100,
        temperature=1.0,
        max_positions=MOST,
    )
    grads = [p.grad for p in model.parameters()]
    assert all(g is not None and g.dtype == torch.float32 for g in grads)
    return torch.cat([g.flatten() for g in grads if g is not None]), stats


def small(name: str) -> Decoder:
    """Weights as a trained network has them: those of `decoder` saturate what they go through."""
    model = decoder(SHAPES[name])
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(0.5)
    return model


class Products(TorchDispatchMode):
    """Notes the types that operations are given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, torch.dtype]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.seen |= {(name, a.dtype) for a in args if isinstance(a, Tensor)}
        return found

    def types(self, *names: str) -> set[torch.dtype]:
        return {dtype for name, dtype in self.seen if name in names}


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_bfloat16_are_float32s_within_its_rounding(name: str) -> None:
    model = small(name)
    given = bundles(model)
    compute_in(model, torch.float32)
    exact, exactly = gradient(model, given)
    compute_in(model, torch.bfloat16)
    rounded, roughly = gradient(model, given)
    assert rounded.dtype == torch.float32
    error = float((rounded - exact).norm() / exact.norm())
    # Some twenty roundings one after the other, each of at most 2^-9.
    assert 1e-4 < error < 20 * 2**-9, error
    assert roughly.loss == pytest.approx(exactly.loss, rel=0.01)


def test_what_is_float32_all_the_same() -> None:
    """Norms, softmax and head; and no product of a layer is."""
    model = small("norms of queries, untied")
    compute_in(model, torch.bfloat16)
    batch = collate(bundles(model))
    with torch.no_grad(), Products() as layers:
        _, context = model.encode_context(batch.contexts_GP, batch.lengths_G)
        hidden = model.extend(batch.inputs_GST, context)
    assert hidden.dtype == torch.float32
    assert layers.types("mm", "addmm", "bmm") == {torch.bfloat16}
    norms = {n for n, _ in layers.seen if "rms" in n} or {"rsqrt", "pow", "mean"}
    assert layers.types(*norms, "_softmax") == {torch.float32}
    with torch.no_grad(), Products() as head:
        found = trained_logprobs(model, batch, 1.0)
    assert found.dtype == torch.float32
    assert head.types("logsumexp", "gather") <= {torch.float32, torch.int64}
    assert model.logits(hidden).dtype == torch.float32


def test_float32_said_is_float32_unsaid() -> None:
    """To the last bit: the casts that do nothing are not there."""
    model = small("grouped queries, biases")
    given = bundles(model)
    unsaid, _ = gradient(model, given)
    compute_in(model, torch.float32)
    said, _ = gradient(model, given)
    assert torch.equal(said, unsaid)


@pytest.mark.parametrize("name", NAMES)
def test_a_rounded_copy_computes_what_the_network_does(name: str) -> None:
    model = small(name)
    compute_in(model, torch.bfloat16)
    copy = RoundedCopy(model)
    copy.refresh()
    batch = collate(bundles(model, num_groups=2))

    @torch.no_grad()
    def hidden(network: Decoder) -> Tensor:
        _, context = network.encode_context(batch.contexts_GP, batch.lengths_G)
        G, S, _ = batch.inputs_GST.shape
        cache = Cache(network.config, G * S, 3)
        steps = [network.extend(batch.inputs_GST[..., t : t + 1], context, cache) for t in range(3)]
        return network.logits(torch.cat(steps, dim=2))

    assert torch.equal(hidden(copy.model), hidden(model))
    before = hidden(copy.model)
    for parameter in model.parameters():
        parameter.data.mul_(1.1)
    copy.refresh()
    assert torch.equal(hidden(copy.model), hidden(model))
    assert not torch.equal(hidden(copy.model), before)


def test_an_engine_in_bfloat16_samples_what_its_trainer_rates() -> None:
    """By the same arithmetic, far closer than bfloat16 is to float32; never from old weights."""
    model = small("grouped queries, biases")
    flat = flatten(model)
    compute_in(model, torch.bfloat16)
    engine = LocalEngine(model, flat, (0,), kernel=False)
    request = Request(
        context=(5, 6, 7), seeds=tuple(range(8)), sampling=SamplingParams(max_tokens=12)
    )

    def gap() -> float:
        (answers,) = engine.generate([request])
        samples = tuple(
            Sample(
                context=request.context,
                tokens=a.tokens,
                trained=(True,) * len(a.tokens),
                sampler_logprobs=a.logprobs,
                advantages=(0.0,) * len(a.tokens),
            )
            for a in answers
        )
        _, stats = gradient(model, [Bundle(samples=samples)])
        return stats.gap_sum / stats.num_tokens

    assert gap() < 0.01
    flat.mul_(1.2)
    assert gap() < 0.01
    compute_in(model, None)  # only the trainer, now: what the alarm is to see
    assert gap() > 1e-4


@contextmanager
def counted_bytes() -> Iterator[Callable[[], int]]:
    """What autograd keeps, each storage once."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(kept.values())


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_layers_computed_again_have_the_same_gradient(
    name: str, arithmetic: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofloop.train.trainer.can_train", lambda *_: False)
    model = small(name)
    compute_in(model, arithmetic)
    given = bundles(model)
    kept, _ = gradient(model, given)
    model.recomputes = True
    again, _ = gradient(model, given)
    assert torch.equal(kept, again)


def test_layers_computed_again_keep_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofloop.train.trainer.can_train", lambda *_: False)
    model = decoder(replace(SHAPES["plain"], num_hidden_layers=8))
    batch = collate(bundles(model))
    weights = sum(p.untyped_storage().nbytes() for p in model.parameters())
    found: dict[bool, int] = {}
    for again in (False, True):
        model.recomputes = again
        with counted_bytes() as kept:
            trained_logprobs(model, batch, 1.0)
        found[again] = kept()
    assert found[True] - weights < 0.25 * (found[False] - weights), found


@pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
@pytest.mark.parametrize("name", ["plain", "norms of queries, untied"])
def test_the_kernels_layers_computed_again(name: str) -> None:
    model = small(name)
    given = bundles(model)
    kept, _ = gradient(model, given)
    model.recomputes = True
    again, _ = gradient(model, given)
    assert torch.equal(kept, again)
