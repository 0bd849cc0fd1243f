"""The job's sampling through Proofloop's engine: one process, as many threads as asked for.

python engine_ours.py JOB MODEL_DIR THREADS kernel|pytorch [bfloat16]
"""

import sys
import time
from pathlib import Path

import torch
from step_job import Job, StepTime, answer_steps

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten


def main() -> None:
    job, threads = Job.read(Path(sys.argv[1])), int(sys.argv[3])
    kernel = sys.argv[4] == "kernel"
    torch.set_num_threads(1 if kernel else threads)
    model = load_model(Path(sys.argv[2]))
    if sys.argv[5:] == ["bfloat16"]:
        compute_in(model, torch.bfloat16)
    engine = LocalEngine(model, flatten(model), (), num_threads=threads, kernel=kernel)
    round_number = 0

    def sample() -> StepTime:
        nonlocal round_number
        round_number += 1
        requests = [
            Request(
                context=tuple(p.tokens),
                seeds=tuple(
                    10**6 * round_number + 1000 * i + s for s in range(job.samples_per_prompt)
                ),
                sampling=SamplingParams(max_tokens=job.completion_tokens),
            )
            for i, p in enumerate(job.prompts)
        ]
        if engine.sampler is not None:
            engine.sampler.weights_changed()  # as after a step: packed anew, nothing remembered
        began = time.perf_counter()
        completions = engine.generate(requests)
        seconds = time.perf_counter() - began
        tokens = sum(len(c.tokens) for group in completions for c in group)
        return StepTime(seconds, seconds, 0.0, tokens, 0)

    sample()
    answer_steps(sample)


if __name__ == "__main__":
    main()
