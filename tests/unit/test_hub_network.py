"""Other architectures through Transformers: its log-probabilities, the same trainer and sampler."""

from pathlib import Path
from typing import Any

import pytest
import torch

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.errors import ConfigError, ModelError
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.config import Backend
from proofloop.engine.models.hub_network import HubNetwork, named_tensors
from proofloop.engine.models.networks import empty_network, load_network, save_network
from proofloop.engine.models.weights import adopt, flatten, sha256
from proofloop.runs.checks import load_recipe
from proofloop.train.objective import Objective
from proofloop.train.samples import Bundle, Sample, bundles_of
from proofloop.train.scoring import Question, logprobs_of
from proofloop.train.trainer import accumulate

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

VOCAB = 61
SMALL: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (
        "GPT2Config",
        {"vocab_size": VOCAB, "n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 96}
        | {"bos_token_id": 1, "eos_token_id": 2},
    ),
    "gemma2": (
        "Gemma2Config",
        SMALL | {"sliding_window": 5, "query_pre_attn_scalar": 6, "final_logit_softcapping": 3.0},
    ),
    "gemma3": (
        "Gemma3TextConfig",
        SMALL | {"sliding_window": 5, "query_pre_attn_scalar": 6, "sliding_window_pattern": 2},
    ),
    "phi3": ("Phi3Config", SMALL),
}
STOPS = (2,)


@pytest.fixture(scope="module", name="checkpoint", params=sorted(CONFIGS))
def _checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Transformers saves it."""
    import transformers

    name, keys = CONFIGS[request.param]
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**keys))
    for parameter in model.parameters():  # out of the flat beginning
        parameter.data += 0.2 * torch.randn_like(parameter)
    directory = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(directory)
    return directory


def network(directory: Path) -> HubNetwork:
    found = load_network(directory, Backend.TRANSFORMERS)
    assert isinstance(found, HubNetwork)
    return found


def naive_logprobs(directory: Path, context: tuple[int, ...], tokens: tuple[int, ...]) -> Any:
    """One sequence, no padding, no cache: Transformers by itself."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([context + tokens])).logits[0, len(context) - 1 : -1].float()
    chosen = torch.tensor(tokens)[:, None]
    return logits.log_softmax(-1).gather(-1, chosen)[:, 0]


QUESTIONS = [
    Question(context=(1, 5, 7), tokens=(9, 3, 11, 4)),
    Question(context=(1, 8, 20, 33, 12, 6, 40, 41), tokens=(7,)),
    Question(context=(4,), tokens=(60, 59, 2)),
]


def test_log_probabilities_are_transformers_own(checkpoint: Path) -> None:
    ours = logprobs_of(network(checkpoint), QUESTIONS, max_positions=500)
    for question, found in zip(QUESTIONS, ours, strict=True):
        wanted = naive_logprobs(checkpoint, question.context, question.tokens)
        assert torch.tensor(found) == pytest.approx(wanted, abs=2e-5)


def test_samples_carry_the_trainers_log_probabilities(checkpoint: Path) -> None:
    model = network(checkpoint)
    engine = LocalEngine(model, flatten(model), STOPS)
    sampling = SamplingParams(max_tokens=12, temperature=0.8)
    requests = [
        Request(context=(1, 5, 7), seeds=(1, 2, 3), sampling=sampling),
        Request(context=(1, 8, 20, 33, 12, 6, 40, 41, 3), seeds=(4, 5), sampling=sampling),
    ]
    answers = engine.generate(requests)
    assert len({a.tokens for group in answers for a in group}) == 5
    alone = engine.generate(requests[1:])[0]
    assert [a.tokens for a in alone] == [a.tokens for a in answers[1]]
    for request, group in zip(requests, answers, strict=True):
        asked = [Question(context=request.context, tokens=a.tokens) for a in group]
        for a, ours in zip(
            group, logprobs_of(model, asked, max_positions=500, temperature=0.8), strict=True
        ):
            assert a.logprobs == pytest.approx(ours, abs=2e-5)
            assert a.policy == engine.version()


def samples() -> list[Sample]:
    tokens = ((9, 3, 11), (7, 7, 2), (30, 2))
    advantages = (1.0, -0.5, -0.5)
    return [
        Sample(
            context=(1, 5, 7),
            tokens=t,
            trained=(True,) * len(t),
            sampler_logprobs=(-4.0,) * len(t),
            advantages=(a,) * len(t),
        )
        for t, a in zip(tokens, advantages, strict=True)
    ]


def gradient(model: HubNetwork, bundles: list[Bundle], max_positions: int) -> torch.Tensor:
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    accumulate(
        model,
        bundles,
        objective=Objective(),
        denominator=8,
        temperature=1.0,
        max_positions=max_positions,
    )
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_a_step_raises_what_was_rewarded_and_does_not_depend_on_the_cut(checkpoint: Path) -> None:
    model = network(checkpoint)
    together = gradient(model, bundles_of(samples()), 1000)
    apart = gradient(model, [Bundle(samples=(s,)) for s in samples()], 1)
    assert together.norm() > 0
    assert torch.allclose(together, apart, atol=1e-6)

    def score() -> float:
        asked = [Question(context=s.context, tokens=s.tokens) for s in samples()]
        found = logprobs_of(model, asked, max_positions=1000)
        pairs = zip(samples(), found, strict=True)
        return sum(s.advantages[0] * sum(values) for s, values in pairs)

    before = score()
    flatten(model).sub_(0.05 * together / together.norm())
    assert score() > before


def test_saved_and_loaded_it_is_the_same_also_in_a_worker(
    checkpoint: Path, tiny_model: Path, tmp_path: Path
) -> None:
    model = network(checkpoint)
    flat = flatten(model)
    flat += 0.01
    save_network(model, tmp_path / "m", tokenizer_from=tiny_model, stop_ids=STOPS)
    again = network(tmp_path / "m")
    assert sha256(flatten(again)) == sha256(flat)
    assert list(named_tensors(again)) == list(named_tensors(model))
    worker = empty_network(tmp_path / "m", Backend.TRANSFORMERS)
    adopt(worker, flat)
    asked = QUESTIONS[:1]
    assert logprobs_of(worker, asked, max_positions=99) == logprobs_of(
        again, asked, max_positions=99
    )
    assert (tmp_path / "m" / "tokenizer.json").exists()


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["FooLM"], "model_type": "foo"}')
    with pytest.raises(ModelError, match=r'Set model\.backend = "transformers" where'):
        load_network(tmp_path, Backend.OWN)
    with pytest.raises(ModelError, match="Transformers does not load it"):
        load_network(tmp_path, Backend.TRANSFORMERS)
    with pytest.raises(ConfigError, match=r"lora\.rank: adapters are of our own"):
        load_recipe("quickstart", ("model.backend=transformers", "lora.rank=4"))


def test_missing_weights_are_not_made_up(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint / "model.safetensors")
    name = next(n for n in tensors if "layers.1" in n or "h.1" in n)
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    with pytest.raises(ModelError, match=r"weights do not fit config\.json: missing"):
        load_network(tmp_path, Backend.TRANSFORMERS)
