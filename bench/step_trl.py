"""The step through TRL's GRPOTrainer, run by an interpreter that has TRL (see README.md).

    TRL_PYTHON step_trl.py JOB MODEL_DIR SETTING

`default` changes only what states the job: the prompts, the group size, the completion length, and
as many accumulated micro-batches of TRL's default size as one step's rollouts need.  The other
settings change what a user could change to be faster on a processor, from TRL's documentation.
Each prints the split of its step into generation (rewards included) and the rest.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    threads: int | None = None
    """None: what PyTorch chooses, the number of cores."""
    processes: int = 1
    """Data-parallel ranks (gloo)."""
    micro_batch_rows: int = 8
    """Per process; the default of `per_device_train_batch_size`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of GRPOConfig."""


_FLOAT32 = {"bf16": False, "gradient_checkpointing": False}
SETTINGS = {
    "default": Setting(),
    "float32": Setting(micro_batch_rows=32, arguments=_FLOAT32),
    "float32-static-cache": Setting(
        micro_batch_rows=32, arguments={**_FLOAT32, "cache_implementation": "static"}
    ),
    "float32-one-batch": Setting(micro_batch_rows=128, arguments=_FLOAT32),
    "float32-2-threads": Setting(threads=2, micro_batch_rows=32, arguments=_FLOAT32),
    "float32-4-processes": Setting(threads=1, processes=4, micro_batch_rows=32, arguments=_FLOAT32),
}


def main() -> None:
    job_path, model_dir, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    setting = SETTINGS[name]
    ranks = _start_ranks(setting)
    if setting.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(setting.threads)
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
    try:
        _train(job_path, model_dir, setting)
    finally:
        for rank in ranks:
            rank.kill()


def _start_ranks(setting: Setting) -> list[Any]:
    """In the first process: starts the others, as a launcher would."""
    import socket
    import subprocess

    if setting.processes == 1 or "RANK" in os.environ:
        return []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        "WORLD_SIZE": str(setting.processes),
        "LOCAL_WORLD_SIZE": str(setting.processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": str(setting.threads),
    }
    os.environ.update(place, RANK="0", LOCAL_RANK="0")
    return [
        subprocess.Popen(
            [sys.executable, *sys.argv],
            env={**os.environ, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for i in range(1, setting.processes)
    ]


def _train(job_path: Path, model_dir: str, setting: Setting) -> None:
    import torch
    import torch.distributed as dist
    from datasets import Dataset
    from step_job import Job, StepTime, reward, say, say_ready
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    first = os.environ.get("RANK", "0") == "0"
    job = Job.read(job_path)
    rows_at_once = setting.micro_batch_rows * setting.processes
    if job.num_rollouts % rows_at_once:
        raise SystemExit(f"{job.num_rollouts} rollouts are not a multiple of {rows_at_once}")
    scratch = tempfile.TemporaryDirectory()
    arguments = GRPOConfig(
        output_dir=scratch.name,
        max_steps=1_000_000,
        use_cpu=True,
        learning_rate=job.learning_rate,
        per_device_train_batch_size=setting.micro_batch_rows,
        gradient_accumulation_steps=job.num_rollouts // rows_at_once,
        num_generations=job.samples_per_prompt,
        max_completion_length=job.completion_tokens,
        # Every completion runs to its full length, for every contender.
        generation_kwargs={"min_new_tokens": job.completion_tokens},
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=1_000_000,
        **setting.arguments,
    )
    sampled_tokens = generation_s = began = 0.0
    num_steps = 0

    def rewarded(completion_ids: list[list[int]], **_: Any) -> list[float]:
        nonlocal sampled_tokens
        sampled_tokens += sum(len(tokens) for tokens in completion_ids)
        return [reward(tokens) for tokens in completion_ids]

    class Gate(TrainerCallback):
        """One step for every line read; all ranks wait for the first one."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            nonlocal began, sampled_tokens, generation_s
            ended = False
            if first and num_steps > 0:
                if num_steps == 1:
                    say_ready()
                ended = not sys.stdin.readline()
            if dist.is_initialized():
                flag = torch.tensor(int(ended))
                dist.broadcast(flag, src=0)
                ended = bool(flag)
            if ended:
                os._exit(0)
            sampled_tokens, generation_s, began = 0, 0.0, time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            nonlocal num_steps
            seconds = time.perf_counter() - began
            num_steps += 1
            if first and num_steps > 1:
                tokens = int(sampled_tokens) * setting.processes
                assert tokens == job.num_rollouts * job.completion_tokens, tokens
                say(StepTime(seconds, generation_s, seconds - generation_s, tokens, tokens))

    trainer = GRPOTrainer(
        model=model_dir,
        reward_funcs=rewarded,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": p.text} for p in job.prompts]),
        callbacks=[Gate()],
    )
    given = trainer.processing_class([p.text for p in job.prompts])["input_ids"]
    assert given == [p.tokens for p in job.prompts], "TRL tokenizes the prompts to other tokens"
    generate = trainer._generate_and_score_completions

    def timed(*args: Any, **kwargs: Any) -> Any:
        nonlocal generation_s
        start = time.perf_counter()
        result = generate(*args, **kwargs)
        generation_s += time.perf_counter() - start
        return result

    trainer._generate_and_score_completions = timed
    trainer.train()


if __name__ == "__main__":
    main()
