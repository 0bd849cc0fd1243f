"""What we save trains on in TRL, run by the interpreter that PROOFLOOP_TRL_PYTHON names."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from proofloop.engine.models.checkpoint import load_model, save_model
from proofloop.engine.models.config import LoraConfig
from proofloop.engine.models.lora import Lora
from proofloop.engine.models.peft import save_adapter
from proofloop.train.scoring import Question, logprobs_of

TRL = os.environ.get("PROOFLOOP_TRL_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TRL is None, reason="PROOFLOOP_TRL_PYTHON names no interpreter with TRL"),
]

SCRIPT = """
import json, sys
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

directory, adapter, context, tokens = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:5])

def logprobs(model):
    with torch.no_grad():
        logits = model(torch.tensor([context + tokens])).logits[0, len(context) - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])[:, 0].tolist()

def load():
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

found = {"base": logprobs(load())}
try:
    from peft import PeftModel
    found["adapter"] = logprobs(PeftModel.from_pretrained(load(), adapter).eval())
except ImportError:
    found["adapter"] = None

tokenizer = AutoTokenizer.from_pretrained(directory)
prompts = [[{"role": "user", "content": f"assert f({i}) == {i + 1}"}] for i in range(2)]
settings = GRPOConfig(
    output_dir=sys.argv[5], max_steps=1, per_device_train_batch_size=4, num_generations=4,
    max_completion_length=8, learning_rate=1e-3, report_to=[], use_cpu=True, bf16=False,
    save_strategy="no", logging_steps=1, gradient_checkpointing=False,
)
trainer = GRPOTrainer(
    model=load(), processing_class=tokenizer, args=settings,
    reward_funcs=lambda completions, **_: [float(i) for i in range(len(completions))],
    train_dataset=Dataset.from_dict({"prompt": prompts}),
)
trainer.train()
found["trained"] = logprobs(trainer.model.eval())
print("FOUND " + json.dumps(found))
"""


def test_checkpoint_and_adapter_in_trl(tiny_model: Path, tmp_path: Path) -> None:
    """TRL's log-probabilities of given tokens are ours, also with the adapter, and one step of its
    GRPO trainer, chat template and all, moves the weights."""
    model = load_model(tiny_model)
    save_model(model, tmp_path / "m", tokenizer_from=tiny_model)
    question = Question(context=(5, 6, 7, 8), tokens=(9, 10, 11, 12, 13))
    (base,) = logprobs_of(model, [question], max_positions=99)
    lora = Lora(model, LoraConfig(rank=4, alpha=8.0), seed=1)
    torch.manual_seed(2)
    for _, _, b in lora.named_pairs():
        b.data += 0.05 * torch.randn_like(b)
    save_adapter(lora, tmp_path / "adapter", base=str(tmp_path / "m"))
    lora.hold_base()
    lora.merge()
    (tuned,) = logprobs_of(model, [question], max_positions=99)
    assert TRL is not None
    arguments = [str(tmp_path / "m"), str(tmp_path / "adapter")]
    arguments += [json.dumps(question.context), json.dumps(question.tokens), str(tmp_path / "out")]
    done = subprocess.run(
        [TRL, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    found = json.loads(line.removeprefix("FOUND "))
    assert found["base"] == pytest.approx(base, abs=2e-5)
    if found["adapter"] is not None:
        assert found["adapter"] == pytest.approx(tuned, abs=2e-5)
        assert max(abs(a - b) for a, b in zip(tuned, base, strict=True)) > 1e-3
    assert found["trained"] != pytest.approx(base, abs=1e-6)
