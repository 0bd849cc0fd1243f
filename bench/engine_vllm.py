"""The job's sampling through vLLM's CPU build, run by an interpreter that has it.

VLLM_PYTHON engine_vllm.py JOB MODEL_DIR float32|bfloat16
"""

import os
import sys
import time
from pathlib import Path

os.environ.update(
    HF_HUB_OFFLINE="1",
    VLLM_CPU_KVCACHE_SPACE="2",
    VLLM_ENABLE_V1_MULTIPROCESSING="0",
    VLLM_LOGGING_LEVEL="ERROR",
)

from step_job import Job, StepTime, answer_steps
from vllm import LLM, SamplingParams


def main() -> None:
    job = Job.read(Path(sys.argv[1]))
    llm = LLM(
        sys.argv[2],
        dtype=sys.argv[3],
        max_model_len=512,
        max_num_seqs=job.num_rollouts,
        logprobs_mode="processed_logprobs",
    )
    prompts = [{"prompt_token_ids": p.tokens} for p in job.prompts]

    def sample() -> StepTime:
        settings = SamplingParams(
            n=job.samples_per_prompt,
            max_tokens=job.completion_tokens,
            ignore_eos=True,
            logprobs=0,
            detokenize=False,
        )
        llm.reset_prefix_cache()
        began = time.perf_counter()
        answers = llm.generate(prompts, settings, use_tqdm=False)
        seconds = time.perf_counter() - began
        tokens = sum(len(c.token_ids) for a in answers for c in a.outputs)
        return StepTime(seconds, seconds, 0.0, tokens, 0)

    sample()
    answer_steps(sample)


if __name__ == "__main__":
    main()
