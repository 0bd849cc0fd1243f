"""vLLM itself: sampling for training with weights that change, and loading what we save.

Needs PROOFLOOP_VLLM_PYTHON, an interpreter that has vLLM (docs/vllm.md); its CPU build does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import torch
from tiny_runs import ignore, tiny_recipe
from vllm_policy import GAP, FollowedPolicy
from vllm_servers import VLLM, WHY_NOT, vllm_server

from proofloop.core.completion import PolicyVersion, Request, SamplingParams
from proofloop.core.errors import ModelError, TrainingHalted
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import copy_tokenizer, load_model, save_model
from proofloop.engine.models.config import Backend, DecoderConfig, Llama3Scaling, LoraConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import named_tensors
from proofloop.engine.models.lora import Lora
from proofloop.engine.models.networks import load_network
from proofloop.engine.models.peft import save_adapter
from proofloop.engine.models.weights import flatten, sha256
from proofloop.engine.server import Address, ServerEngine
from proofloop.engine.vllm import VllmEngine
from proofloop.engine.vllm_weights import write_weights
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import EngineConfig, EngineKind
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.train.scoring import Question, logprobs_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(VLLM is None, reason=WHY_NOT),
]


@pytest.fixture(scope="module", name="url")
def _url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(resolve_model("pico"), tmp_path_factory.mktemp("pico") / "log") as url:
        yield url


class Policy(FollowedPolicy[VllmEngine]):
    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(directory)
        self.engine = VllmEngine(Address(url=url), self.stop_ids, directory)


def test_weights_change_in_place_and_every_filter_is_told(url: str, tmp_path: Path) -> None:
    policy = Policy(url, tmp_path)
    for factor in (1.0, 1.05, 0.9):  # the same context each time: cached keys would be stale
        policy.flat *= factor
        assert policy.engine.load(policy.write()) == 1.0
        policy.check()
        policy.check(temperature=0.7)
    policy.check(temperature=0.6, top_k=5)
    policy.check(top_p=0.6)
    policy.check(min_p=0.1)
    policy.check(temperature=1.3, top_k=20, min_p=0.05)


def test_stale_and_foreign_weights_are_refused(url: str, tmp_path: Path) -> None:
    policy = Policy(url, tmp_path / "a")
    first = policy.write()
    policy.engine.load(first)
    policy.flat *= 1.01
    newer = PolicyVersion(step=2, sha256=sha256(policy.flat))
    policy.engine.expect(newer)  # as a worker that was told of a step which the server has not
    with pytest.raises(ModelError, match=r"of step 1, not \w{12} of step 2: another run uses it"):
        policy.check()
    with pytest.raises(ModelError, match=r"has weights \w{12}, announced were \w{12}"):
        policy.engine.load(newer)  # the file is of the step before
    other = Policy(url, tmp_path / "b")
    other.flat *= 0.9
    other.engine.load(other.write())
    policy.engine.expect(first)
    with pytest.raises(ModelError, match="another run uses it"):
        policy.check()


def test_a_server_that_was_restarted_gets_its_weights_again(tmp_path: Path) -> None:
    with vllm_server(resolve_model("pico"), tmp_path / "log") as url:
        policy = Policy(url, tmp_path / "w")
        policy.flat *= 1.05  # not what the server itself loads
        wanted = policy.write()
        policy.engine.load(wanted)
    port = urlsplit(url).port
    with vllm_server(resolve_model("pico"), tmp_path / "again", port=port):
        assert policy.engine.version().sha256 == ""
        policy.check()
        assert policy.engine.version() == wanted


def test_a_run_is_trained_on_what_vllm_samples(url: str, tmp_path: Path) -> None:
    recipe = tiny_recipe(resolve_model("pico"), learning_rate=1e-3)
    engine = EngineConfig(kind=EngineKind.VLLM, url=url)
    recipe = msgspec.structs.replace(recipe, engine=engine)
    run_training(recipe, tmp_path / "r", resume=False, on_progress=ignore)
    with RunStore.read(tmp_path / "r") as store:
        gaps = [gap for _, gap in store.metrics("logprob_gap_max")]
    assert len(gaps) == 3
    assert max(gaps) < 1e-4
    trained = flatten(load_model(tmp_path / "r" / "model"))
    version = Policy(url, tmp_path / "v").engine.version()
    assert version == PolicyVersion(step=3, sha256=sha256(trained))
    assert not (tmp_path / "r" / "sync" / "weights.safetensors").exists()


def test_a_server_starts_and_ends_with_an_evaluation(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert VLLM is not None
    options = ("--no-enable-chunked-prefill", "--enforce-eager", "--max-model-len", "512")
    engine = EngineConfig(kind=EngineKind.VLLM, python=VLLM, options=options)
    recipe = msgspec.structs.replace(tiny_recipe(resolve_model("pico")), engine=engine)
    run_evaluation(recipe, tmp_path / "e", resume=False, on_progress=lambda r: None)
    with RunStore.read(tmp_path / "e") as store:
        assert sum(c.num_scored for c in store.pass_counts(Phase.EVAL, 0)) == 6
        rows = store.outcomes(Phase.EVAL, 0, ("policy_sha256",))
    assert {sha for (sha,) in rows} == {sha256(flatten(load_model(resolve_model("pico"))))}
    assert "Application shutdown complete" in (tmp_path / "e" / "vllm.log").read_text()


STALE = '''
import proofloop_vllm


class Stale(proofloop_vllm.Weights):
    """Keeps its first weights: as vLLM's own reloading may, or lying about it."""

    def proofloop_load(self, path, step, sha256):
        if "honest" in path:
            read_back = self.proofloop_read_back(path)
            if "problem" in read_back:
                return read_back
        self.proofloop_now = {"step": step, "sha256": sha256}
        return {"read_back": 1.0}
'''


def test_a_server_that_keeps_its_weights_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "stale.py").write_text(STALE)
    options: dict[str, Any] = {"extension": "stale.Stale", "path": tmp_path}
    with vllm_server(resolve_model("pico"), tmp_path / "log", **options) as url:
        policy = Policy(url, tmp_path / "honest")
        policy.engine.load(policy.write())  # its own: nothing to be stale
        policy.flat += 1e-6
        with pytest.raises(ModelError, match=r"embed_tokens\.weight is not what was sent"):
            policy.engine.load(policy.write())
        recipe = tiny_recipe(resolve_model("pico"), learning_rate=1e-2, max_logprob_gap=0.02)
        engine = EngineConfig(kind=EngineKind.VLLM, url=url)
        recipe = msgspec.structs.replace(recipe, engine=engine)
        with pytest.raises(TrainingHalted, match="sampler and trainer disagree"):
            run_training(recipe, tmp_path / "r", resume=False, on_progress=ignore)


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512}),
    "phi3": (
        "Phi3Config",
        {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        | {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512},
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_networks_of_transformers_are_sampled_too(
    kind: str, tiny_model: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    tokenizer = ChatTokenizer.load(tiny_model)
    name, keys = OTHERS[kind]
    ids = {"vocab_size": 320, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, name)(**keys, **ids)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "m")
    copy_tokenizer(tiny_model, tmp_path / "m")
    model = load_network(tmp_path / "m", Backend.TRANSFORMERS)
    flat = flatten(model)
    with vllm_server(tmp_path / "m", tmp_path / "log") as url:
        engine = VllmEngine(Address(url=url), tokenizer.stop_ids, tmp_path / "w")
        for _ in range(2):
            flat += 0.05 * torch.randn_like(flat)
            write_weights(named_tensors(model), tmp_path / "w")
            assert engine.load(PolicyVersion(step=1, sha256=sha256(flat))) == 1.0
            request = Request(
                context=(5, 6, 7, 8), seeds=(1, 2, 3), sampling=SamplingParams(max_tokens=20)
            )
            (answers,) = engine.generate([request])
            asked = [Question(context=request.context, tokens=a.tokens) for a in answers]
            ours = logprobs_of(model, asked, max_positions=999)
            for answer, told in zip(answers, ours, strict=True):
                assert answer.logprobs == pytest.approx(told, abs=GAP)


SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {
        "architecture": "LlamaForCausalLM",
        "tie_word_embeddings": True,
        "rope_scaling": Llama3Scaling(
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=64,
        ),
    },
    "qwen": {
        "architecture": "Qwen3ForCausalLM",
        "tie_word_embeddings": False,
        "qk_norm": True,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_save_loads_in_vllm(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    """A checkpoint, and a LoRA adapter of it in PEFT's format."""
    torch.manual_seed(7)
    vocab = load_model(tiny_model).config.vocab_size
    model = Decoder(DecoderConfig(vocab_size=vocab, **SIZES, **KINDS[kind]))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.model.embed_tokens.weight.data *= 0.05  # or a token would predict itself, whatever comes
    save_model(model, tmp_path / "m", tokenizer_from=tiny_model)
    lora = Lora(model, LoraConfig(rank=8, alpha=16), seed=1)
    for _, _, b in lora.named_pairs():
        b.data += 0.05 * torch.randn_like(b)
    save_adapter(lora, tmp_path / "adapter", base=str(tmp_path / "m"))
    stop_ids = ChatTokenizer.load(tiny_model).stop_ids
    request = Request(
        context=(5, 6, 7, 8), seeds=(1, 2, 3, 4), sampling=SamplingParams(max_tokens=24)
    )
    options = ("--enable-lora", "--max-lora-rank", "8")
    options += ("--lora-modules", f"tuned={tmp_path / 'adapter'}")
    gaps: list[float] = []
    with vllm_server(tmp_path / "m", tmp_path / "log", *options) as url:
        lora.hold_base()
        for name in ("", "tuned"):
            engine = ServerEngine(Address(url=url, model=name), stop_ids)
            (answers,) = engine.generate([request])
            asked = [Question(context=request.context, tokens=a.tokens) for a in answers]
            for answer, ours in zip(
                answers, logprobs_of(model, asked, max_positions=999), strict=True
            ):
                assert answer.logprobs == pytest.approx(ours, abs=GAP)
            base = logprobs_of(load_model(tmp_path / "m"), asked, max_positions=999)
            gaps.append(
                max(
                    abs(a - b)
                    for x, y in zip(answers, base, strict=True)
                    for a, b in zip(x.logprobs, y, strict=True)
                )
            )
            lora.merge()
    assert gaps[0] < GAP < gaps[1]  # the adapter does something


def test_pico_over_the_plain_server_kind(url: str, tmp_path: Path) -> None:
    """Without weights sent by us; a greedy answer is the local engine's."""
    policy = Policy(url, tmp_path)
    policy.engine.load(policy.write())
    server = ServerEngine(Address(url=url), policy.stop_ids)
    assert server.version().sha256 == ""
    greedy = Request(
        context=(5, 6, 7, 8), seeds=(1,), sampling=SamplingParams(max_tokens=12, temperature=0.0)
    )
    local = LocalEngine(policy.model, policy.flat, policy.stop_ids)
    assert server.generate([greedy])[0][0].tokens == local.generate([greedy])[0][0].tokens
