"""Sampling, log-probabilities, losses, gradients and steps on a device that is not the CPU: every
tensor is made where its inputs are, or these tests raise (`elsewhere`)."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from elsewhere import DEVICE, Away, WrongPlace, elsewhere, moved
from test_native import SHAPES
from test_native_training import decoder
from test_precision import bundles, gradient
from torch import Tensor

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.fixed_batch import recorded, sample_fixed
from proofloop.engine.hub_batch import sample_hub
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.config import LoraConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import HubNetwork
from proofloop.engine.models.lora import Lora
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import adopt, adopt_gradient, flatten, sha256, shared
from proofloop.engine.torch_batch import bytes_per_row, free_bytes, sample
from proofloop.train.actor_critic import ActorCritic
from proofloop.train.config import Baseline, KlEstimator, LossKind, OptimiserKind, Schedule
from proofloop.train.objective import Objective, PairLoss, PairObjective
from proofloop.train.optimiser import Optimiser, OptimiserConfig
from proofloop.train.samples import Bundle
from proofloop.train.scoring import Question, logprobs_of, values_of
from proofloop.train.trainer import GradientStats, accumulate

NAMES = [
    "grouped queries, biases",
    "norms of queries, untied",
    "windows, layers without rotation, all biases",
]


@pytest.fixture(autouse=True)
def _in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, too, what a device gets."""
    monkeypatch.setattr("proofloop.train.trainer.can_train", lambda *_: False)
    monkeypatch.setattr("proofloop.train.trainer.packs", lambda *_: False)
    monkeypatch.setattr("proofloop.train.scoring.packs", lambda *_: False)


@pytest.fixture
def away() -> Iterator[None]:
    with elsewhere():
        yield


def small(name: str = "norms of queries, untied") -> Decoder:
    model = decoder(SHAPES[name])
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(0.5)
    return model


def test_the_device_is_like_one(away: None) -> None:
    there = torch.arange(6.0, device=DEVICE).view(2, 3)
    assert isinstance(there, Away)
    assert there.sum().item() == 15
    assert (there * torch.tensor(2.0)).tolist() == [[0, 2, 4], [6, 8, 10]]
    assert torch.zeros(2).device.type == there.cpu().device.type == "cpu"
    with pytest.raises(WrongPlace):
        there + torch.zeros(3)
    with pytest.raises(WrongPlace):
        there.index_select(0, torch.tensor([1]))
    with pytest.raises(TypeError):
        there.numpy()
    alias = there.view(-1)
    alias += 1
    assert there.sum().item() == 21


def close(found: Tensor, expected: Tensor, within: float) -> None:
    assert float((found.cpu() - expected).norm() / expected.norm()) <= within


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, arithmetic: torch.dtype | None) -> None:
    model = small(name)
    given = bundles(model, num_groups=2, num_samples=2)
    compute_in(model, arithmetic)
    expected, _ = gradient(model, given)
    fingerprint = sha256(flatten(model))
    with elsewhere():
        there = moved(small(name))
        assert isinstance(there, Decoder)
        flat = flatten(there)
        assert flat.device == DEVICE
        assert shared(flat) is flat
        assert sha256(flat) == fingerprint, "of a host copy"
        compute_in(there, arithmetic)
        there.recomputes = True
        found, _ = gradient(there, given)
        assert found.device == DEVICE
        # Bfloat16 rounds float32's last bit up to its own.
        close(found, expected, 1e-5 if arithmetic is None else 0.02)


PLAIN = Objective()
OBJECTIVES = {
    "clip": Objective(loss=LossKind.CLIP),
    "cispo": PLAIN,
    "gspo": Objective(loss=LossKind.GSPO),
    "kl": Objective(kl_weight=0.1, kl_estimator=KlEstimator.K3),
    "values": Objective(baseline=Baseline.VALUE),
    "dpo": Objective(pairs=PairObjective(loss=PairLoss.DPO)),
    "bradley-terry": Objective(pairs=PairObjective(loss=PairLoss.BRADLEY_TERRY)),
}


def dressed(model: Decoder) -> list[Bundle]:
    """Pairs of samples with all that any objective asks of them."""

    def of(sample: Any) -> Any:
        numbers = tuple(0.01 * i for i in range(len(sample.tokens)))
        return replace(
            sample,
            old_logprobs=sample.sampler_logprobs,
            reference_logprobs=sample.sampler_logprobs,
            old_values=numbers,
            returns=numbers[::-1],
        )

    return [
        Bundle(samples=tuple(of(s) for s in b.samples))
        for b in bundles(model, num_groups=2, num_samples=2)
    ]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses(name: str) -> None:
    def run(model: Decoder, head: ScalarHead) -> tuple[Tensor, GradientStats]:
        parts = [*model.parameters(), *head.parameters()]
        gradient = torch.zeros(sum(p.numel() for p in parts), device=parts[0].device)
        num_own = sum(p.numel() for p in model.parameters())
        adopt_gradient(model, gradient[:num_own])
        adopt_gradient(head, gradient[num_own:])
        stats = accumulate(
            model,
            dressed(model),
            objective=OBJECTIVES[name],
            denominator=50,
            temperature=0.8,
            max_positions=200,
            head=head if name in ("values", "bradley-terry") else None,
        )
        return gradient, stats

    expected, stats = run(small(), ScalarHead(SHAPES["plain"].hidden_size))
    assert expected.any()
    with elsewhere():
        head = moved(ScalarHead(SHAPES["plain"].hidden_size))
        there = moved(small())
        assert isinstance(there, Decoder)
        assert isinstance(head, ScalarHead)
        found, their_stats = run(there, head)
        close(found, expected, 1e-5)
    assert their_stats == pytest.approx(stats, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
def test_sampling(arithmetic: torch.dtype | None) -> None:
    """Contexts of several lengths, groups of several sizes, samples that leave early."""
    requests = [
        Request(
            context=tuple(range(3, 5 + n)),
            seeds=tuple(range(10 * n, 10 * n + 2 + n)),
            sampling=SamplingParams(max_tokens=24, temperature=1.3, top_p=0.95, top_k=30),
        )
        for n in range(4)
    ]
    stops = tuple(range(12))

    def engine(model: Decoder) -> LocalEngine:
        compute_in(model, arithmetic)
        return LocalEngine(model, flatten(model), stops, kernel=False)

    expected = engine(small()).generate(requests)
    lengths = {len(c.tokens) for group in expected for c in group}
    assert len(lengths) > 3, "the grid shrank on the way"
    with elsewhere():
        there = moved(small())
        assert isinstance(there, Decoder)
        found = engine(there).generate(requests)
    pairs = [p for a, b in zip(found, expected, strict=True) for p in zip(a, b, strict=True)]
    same = [(a, b) for a, b in pairs if a.tokens == b.tokens]
    assert len(same) >= 0.8 * len(pairs), "but for draws at the edge between two tokens"
    for a, b in same:
        assert a.policy == b.policy
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4 if arithmetic is None else 0.1)


def test_scoring() -> None:
    asked = [Question(context=(3, 4, 5), tokens=tuple(range(9, 20 + n))) for n in range(3)]
    model, head = small(), ScalarHead(SHAPES["plain"].hidden_size)
    torch.nn.init.ones_(head.score.weight)
    expected = logprobs_of(model, asked, max_positions=40, temperature=0.7)
    values = values_of(model, head, asked, max_positions=40)
    with elsewhere():
        there, their_head = moved(small()), moved(head)
        assert isinstance(there, Decoder)
        assert isinstance(their_head, ScalarHead)
        found = logprobs_of(there, asked, max_positions=40, temperature=0.7)
        assert [list(f) for f in found] == [pytest.approx(list(e), abs=1e-4) for e in expected]
        their_values = values_of(there, their_head, asked, max_positions=40)
    assert [list(f) for f in their_values] == [pytest.approx(list(v), abs=1e-4) for v in values]


CONFIG = OptimiserConfig(
    learning_rate=1e-2,
    schedule=Schedule.SIGNAL,
    warmup_steps=2,
    weight_decay=0.01,
    grad_clip=1.0,
)


@pytest.fixture(name="fused_here")
def _fused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch has the fused step for the CPU and GPUs; this device has the CPU's."""
    steps = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(steps, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])


@pytest.mark.usefixtures("fused_here")
@pytest.mark.parametrize("kind", OptimiserKind)
@pytest.mark.parametrize("with_head", [False, True])
def test_steps_and_what_a_resume_takes_up(kind: OptimiserKind, with_head: bool) -> None:
    """The same bits on both: a state saved on one goes on on the other."""
    config = msgspec.structs.replace(CONFIG, kind=kind)
    torch.manual_seed(0)
    halves = [(torch.randn(40), torch.randn(40)) for _ in range(4)]

    def build(weights: Tensor) -> Optimiser | ActorCritic:
        if not with_head:
            return Optimiser(weights, config)
        policy, head = weights[:30].clone(), weights[30:].clone()
        return ActorCritic(policy, head, config, head_learning_rate=1e-3)

    def whole(weights: Tensor) -> bytes:
        optimiser = build(weights)
        for half, other in halves:
            optimiser.update(half.to(weights.device, copy=True), other.to(weights.device))
        return optimiser.state()

    def in_two(weights: Tensor, device: torch.device) -> bytes:
        first = build(weights)
        for half, other in halves[:2]:
            first.update(half.to(weights.device, copy=True), other.to(weights.device))
        then = build(torch.zeros(40, device=device))
        then.restore(first.state())
        for half, other in halves[2:]:
            then.update(half.to(device, copy=True), other.to(device))
        return then.state()

    start = torch.randn(40)
    expected = whole(start.clone())
    with elsewhere():
        assert whole(start.to(DEVICE)) == expected
        assert in_two(start.to(DEVICE), DEVICE) == expected
        assert in_two(start.clone(), DEVICE) == expected
        assert in_two(start.to(DEVICE), torch.device("cpu")) == expected


def test_adapters() -> None:
    def run(model: Decoder) -> tuple[Tensor, Tensor]:
        lora = Lora(model, LoraConfig(rank=3, alpha=6.0))
        lora.hold_base()
        flat = flatten(lora)
        flat += 0.01
        lora.merge()
        lora.learn()
        gradient = torch.zeros_like(flat)
        adopt_gradient(lora, gradient)
        accumulate(
            model,
            bundles(model),
            objective=PLAIN,
            denominator=50,
            temperature=1.0,
            max_positions=1000,
        )
        return gradient, torch.cat([p.detach().flatten() for p in model.parameters()])

    expected, merged = run(small())
    with elsewhere():
        there = moved(small())
        assert isinstance(there, Decoder)
        found, their_merged = run(there)
        close(found, expected, 1e-5)
        close(their_merged, merged, 1e-6)


def test_a_network_follows_its_vector(away: None) -> None:
    """Rotary tables, too: they are made on the CPU, where all devices' are the same."""
    there = moved(small())
    flat = flatten(there)
    other = moved(small())
    adopt(other, flat)
    assert isinstance(other, Decoder)
    assert other.cos.device == other.model.norm.weight.device == DEVICE
    flat.mul_(2.0)
    assert torch.equal(other.lm_head.weight.cpu(), 2 * small().lm_head.weight)


def test_a_wrong_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """That these tests can fail: a mask made on the CPU."""
    monkeypatch.setattr(
        "proofloop.engine.models.decoder._hidden",
        lambda where, dtype: torch.zeros(where.shape, dtype=dtype),
    )
    with elsewhere():
        there = moved(small())
        assert isinstance(there, Decoder)
        with pytest.raises(WrongPlace):
            gradient(there, bundles(there))


def test_a_whole_state_on_disk_is_the_cpus(tmp_path: Path, tiny_model: Path) -> None:
    from proofloop.engine.models.checkpoint import load_model, save_model

    expected = load_model(tiny_model)
    with elsewhere():
        there = moved(load_model(tiny_model))
        assert isinstance(there, Decoder)
        save_model(there, tmp_path / "saved", tokenizer_from=tiny_model)
    again = load_model(tmp_path / "saved")
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), expected.parameters(), strict=True)
    )


def test_batches_that_fit_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("plain")
    config = model.config
    sampling = SamplingParams(max_tokens=10)
    requests = [
        Request(context=(3,) * 20, seeds=(2 * i, 2 * i + 1), sampling=sampling) for i in range(6)
    ]
    keys = 30 * 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    assert bytes_per_row(model, requests[0]) == keys * 3 // 2 + 40 * config.vocab_size
    expected = LocalEngine(model, flatten(model), (), kernel=False).generate(requests)

    sizes: list[int] = []

    def noted(network: Decoder, asked: list[Request], *rest: Any) -> Any:
        sizes.append(len(asked))
        return sample(network, asked, *rest)

    monkeypatch.setattr("proofloop.engine.local.sample", noted)
    room = 5 * bytes_per_row(model, requests[0]) / 0.8
    monkeypatch.setattr("proofloop.engine.local.free_bytes", lambda device: room + 1)
    assert LocalEngine(model, flatten(model), (), kernel=False).generate(requests) == expected
    assert sizes == [2, 2, 2], "five samples have room, two groups of two"
    assert free_bytes(torch.device("cpu")) is None


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_steps_of_one_shape_sample_the_same(
    name: str, arithmetic: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through looks of the host, samples that leave, and keys that need more room."""
    monkeypatch.setattr("proofloop.engine.fixed_batch.LOOK", 3)
    monkeypatch.setattr("proofloop.engine.fixed_batch.ROOM", 5)
    model = small(name)
    compute_in(model, arithmetic)
    sampling = SamplingParams(max_tokens=23, temperature=1.2, min_p=0.01)
    requests = [
        Request(
            context=tuple(range(3, 5 + 9 * n)),
            seeds=tuple(range(9 * n, 11 * n + 3)),
            sampling=sampling,
        )
        for n in range(4)
    ]
    stops = np.arange(9)
    with torch.inference_mode():
        expected = sample(model, requests, sampling, stops)
    found = sample_fixed(model, requests, sampling, stops)
    with elsewhere():
        there = moved(model)
        assert isinstance(there, Decoder)
        away = sample_fixed(there, requests, sampling, stops)
    lengths = {len(d.tokens) for group in expected for d in group}
    assert len(lengths) > 3, "the grid shrank on the way"
    for others in (found, away):
        pairs = [p for a, b in zip(others, expected, strict=True) for p in zip(a, b, strict=True)]
        same = [(a, b) for a, b in pairs if a.tokens == b.tokens]
        assert len(same) >= (1 if arithmetic is None else 0.7) * len(pairs)
        for a, b in same:
            assert a.seed == b.seed
            within = 1e-4 if arithmetic is None else 0.1
            assert a.logprobs == pytest.approx(b.logprobs, abs=within)
            assert a.entropies == pytest.approx(b.entropies, abs=within)


def test_without_a_gpu_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where recording fails, or is not wanted, the steps are run as they are."""
    assert recorded(lambda: None, torch.device("cpu")) is None

    class Broken:
        def __enter__(self) -> None:
            raise RuntimeError("operation not permitted when stream is capturing")

        def __exit__(self, *error: object) -> None: ...

    gpu = torch.device("cuda")
    monkeypatch.setattr("torch.cuda.CUDAGraph", lambda: object())
    monkeypatch.setattr("torch.cuda.graph", lambda graph: Broken())
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    assert recorded(lambda: None, gpu) is None
    monkeypatch.setenv("PROOFLOOP_NO_GRAPHS", "1")
    assert recorded(lambda: pytest.fail("recorded"), gpu) is None


def test_networks_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    network = HubNetwork(transformers.AutoModelForCausalLM.from_config(config))
    asked = [Question(context=(3, 4, 5), tokens=(7, 8, 9)), Question(context=(3,), tokens=(7,))]
    expected = logprobs_of(network, asked, max_positions=64)
    sampling = SamplingParams(max_tokens=8)
    requests = [
        Request(context=(3, 4, 5), seeds=(1, 2, 3), sampling=sampling),
        Request(context=(9,) * 6, seeds=(4, 5), sampling=sampling),
    ]

    @torch.no_grad()
    def sampled(model: HubNetwork) -> list[list[list[int]]]:
        drafts = sample_hub(model, requests, sampling, np.arange(8))
        return [[draft.tokens for draft in group] for group in drafts]

    tokens = sampled(network)
    with elsewhere():
        there = moved(network)
        assert isinstance(there, HubNetwork)
        found = logprobs_of(there, asked, max_positions=64)
        assert [list(f) for f in found] == [pytest.approx(list(e), abs=1e-5) for e in expected]
        assert sampled(there) == tokens
