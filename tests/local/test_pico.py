"""The embedded base model is a Hugging Face checkpoint: Transformers loads it and agrees."""

import pytest
import torch

from proofloop.core.task import Message, Split
from proofloop.engine.models.checkpoint import load_model
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
PICO = resolve_model("pico")


def prompts() -> list[tuple[Message, ...]]:
    environment = FunctionsEnvironment(horizon=(1, 2))
    strata = environment.strata(Split.HELDOUT)
    return [environment.problem(Split.HELDOUT, s, 0).task.messages for s in strata]


def test_transformers_gives_the_same_logits() -> None:
    torch.set_num_threads(1)
    ours = load_model(PICO)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(PICO, dtype=torch.float32)
    tokenizer = ChatTokenizer.load(PICO)
    for messages in prompts():
        tokens = torch.tensor([tokenizer.context(messages)])
        with torch.no_grad():
            hidden, _ = ours.encode_context(tokens, torch.tensor([tokens.shape[1]]))
            difference = (ours.logits(hidden) - theirs(tokens).logits).abs().max()
        assert float(difference) <= 1e-4


def test_transformers_renders_the_same_tokens() -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(PICO)
    ours = ChatTokenizer.load(PICO)
    for messages in prompts():
        chat = [{"role": m.role, "content": m.content} for m in messages]
        rendered = theirs.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        assert rendered == ours.text(messages)
        assert tuple(theirs(rendered, add_special_tokens=False).input_ids) == ours.context(messages)
        assert ours.decode(ours.context(messages), keep_special=True) == rendered
    assert theirs.eos_token_id in ours.stop_ids


def test_it_is_small_enough_to_ship() -> None:
    assert sum(f.stat().st_size for f in PICO.iterdir()) < 4_000_000
    assert 1e6 <= sum(p.numel() for p in load_model(PICO).parameters()) <= 3e6
