"""The job's sampling through Transformers' `generate`, with a static cache and compiled.

PYTHON engine_transformers.py JOB MODEL_DIR float32|bfloat16
"""

import os
import sys
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
from step_job import Job, StepTime, answer_steps
from transformers import AutoModelForCausalLM


def main() -> None:
    job = Job.read(Path(sys.argv[1]))
    dtype = getattr(torch, sys.argv[3])
    model = AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype=dtype).eval()
    model.forward = torch.compile(model.forward)
    longest = max(len(p.tokens) for p in job.prompts)
    rows = [
        ([0] * (longest - len(p.tokens)) + p.tokens, longest - len(p.tokens))
        for p in job.prompts
        for _ in range(job.samples_per_prompt)
    ]
    input_ids = torch.tensor([tokens for tokens, _ in rows])
    mask = torch.tensor([[0] * left + [1] * (longest - left) for _, left in rows])

    @torch.inference_mode()
    def sample() -> StepTime:
        began = time.perf_counter()
        answers = model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=job.completion_tokens,
            min_new_tokens=job.completion_tokens,
            cache_implementation="static",
            pad_token_id=0,
        )
        seconds = time.perf_counter() - began
        tokens = (answers.shape[1] - longest) * len(rows)
        return StepTime(seconds, seconds, 0.0, tokens, 0)

    sample()
    sample()
    answer_steps(sample)


if __name__ == "__main__":
    main()
