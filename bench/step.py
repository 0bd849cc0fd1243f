"""One training step, beside others: Proofloop, a plain PyTorch loop, TRL, the arithmetic floor.

    PYTHONPATH=src python bench/step.py [--trl-python PYTHON] [--model DIR] [--rounds 5] [--json]

All contenders start first and wait; rounds of one step each are interleaved, so that a busy
machine slows all alike; the medians over rounds are compared.  README.md says what a row means.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # of this process and of Proofloop's workers

import torch
from step_job import Job, Prompt, StepTime
from step_ours import RECIPE, Ours

from proofloop.core.task import Split
from proofloop.engine.models.checkpoint import read_config
from proofloop.engine.models.decoder import DecoderConfig
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.train.config import Precision

HERE = Path(__file__).parent
TRL_SETTINGS = (
    "default",
    "float32",
    "float32-static-cache",
    "float32-one-batch",
    "float32-2-threads",
    "float32-4-processes",
)
OURS = {Precision.FLOAT32: "ours", Precision.BFLOAT16: "ours, bfloat16"}
QUICK_START = "quick-start shape"


class Contender:
    """A contender in its own process (`step_job` has the protocol)."""

    def __init__(self, python: str, script: str, arguments: list[str], threads: int | None) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [python, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    def wait_ready(self) -> None:
        while (line := self._answer()) != "ready\n":
            print(line, end="", file=sys.stderr)

    def step(self) -> StepTime:
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        while not (line := self._answer()).startswith("{"):
            pass
        return StepTime(**json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"{self._process.args} ended:\n{self._log.read()[-3000:]}")
        return line


def make_job(tokenizer: ChatTokenizer, arguments: argparse.Namespace, num_prompts: int) -> Job:
    environment = FunctionsEnvironment()
    strata = environment.strata(Split.TRAIN)
    problems = [
        environment.problem(Split.TRAIN, strata[i % len(strata)], i) for i in range(num_prompts)
    ]
    prompts = [
        Prompt(tokenizer.text(p.task.messages), list(tokenizer.context(p.task.messages)))
        for p in problems
    ]
    return Job(prompts, arguments.samples, arguments.tokens)


def step_flops(config: DecoderConfig, job: Job) -> float:
    """Operations of one step's matrix products, each context run once in sampling and once in
    training, whose backward pass costs twice its forward pass; no padding, causal attention."""
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    projections = config.hidden_size * (heads + config.num_attention_heads) * config.head_dim
    layer = projections + 3 * config.hidden_size * config.intermediate_size
    per_position = 2 * config.num_hidden_layers * layer
    per_pair = 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    per_logits = 2 * config.hidden_size * config.vocab_size
    T, forward = job.completion_tokens, 0.0
    for prompt in job.prompts:
        P = len(prompt.tokens) - 1  # the last one starts every completion
        forward += P * per_position + P * (P + 1) / 2 * per_pair
        pairs = T * P + T * (T + 1) / 2
        completion = T * (per_position + per_logits) + pairs * per_pair
        forward += job.samples_per_prompt * completion
    return forward * 4


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    model_path = arguments.model or resolve_model("pico")
    tokenizer = ChatTokenizer.load(model_path)
    job = make_job(tokenizer, arguments, arguments.prompts)
    workers = arguments.workers
    natural_job = replace(
        make_job(tokenizer, arguments, RECIPE.tasks_per_step),
        samples_per_prompt=RECIPE.samples_per_task,
    )
    own = {
        OURS[precision]: Ours(job, model_path, workers=workers, precision=precision)
        for precision in arguments.precisions
    }
    ours = next(iter(own.values()))
    if arguments.quick_start:
        natural = Ours(natural_job, model_path, workers=workers, stop_ids=tokenizer.stop_ids)
        own[QUICK_START] = natural
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "job.json"
        job.write(path)
        given = [str(path), str(model_path)]
        others = {
            f"plain loop, {n} threads": Contender(
                sys.executable, "step_plain.py", [*given, str(n)], n
            )
            for n in arguments.plain_threads
        }
        if arguments.trl_python:
            for name in arguments.trl_settings.split(","):
                script = [*given, name]
                # One at a time: several starting at once can take a small machine's memory.
                contender = Contender(arguments.trl_python, "step_trl.py", script, None)
                contender.wait_ready()
                others[f"TRL, {name}"] = contender
        for name, contender in others.items():
            if name.startswith("plain"):
                contender.wait_ready()
        for contender in own.values():
            contender.step()
        ours.flops_per_s(2)
        times: dict[str, list[StepTime]] = {}
        rates: list[float] = []
        for number in range(arguments.rounds):
            for name, contender in {**own, **others}.items():
                time.sleep(0.3)  # threads of the one before stop spinning
                made = contender.step()
                times.setdefault(name, []).append(made)
                print(f"round {number + 1}: {name} {made.seconds:.2f} s", file=sys.stderr)
            rates.append(ours.flops_per_s(10))
        for contender in (*own.values(), *others.values()):
            contender.close()
    flops = step_flops(read_config(model_path), job)
    rate = statistics.median(rates)
    return {
        "prompts": len(job.prompts),
        "samples_per_prompt": job.samples_per_prompt,
        "completion_tokens": job.completion_tokens,
        "mean_context_tokens": statistics.mean(len(p.tokens) for p in job.prompts),
        "workers": workers,
        "rounds": arguments.rounds,
        "torch": torch.__version__,
        "floor": {"gflop": flops / 1e9, "gflop_per_s": rate / 1e9, "seconds": flops / rate},
        "steps": {
            name: summary(t, natural_job if name == QUICK_START else job)
            for name, t in times.items()
        },
    }


def summary(times: list[StepTime], job: Job) -> dict[str, float]:
    seconds = statistics.median(t.seconds for t in times)
    sampled = statistics.median(t.sampled_tokens for t in times)
    sample_s = statistics.median(t.sample_s for t in times)
    train_s = statistics.median(t.train_s for t in times)
    return {
        "seconds": seconds,
        "fastest_s": min(t.seconds for t in times),
        "slowest_s": max(t.seconds for t in times),
        "sample_s": sample_s,
        "train_s": train_s,
        "rollouts_per_s": job.num_rollouts / seconds,
        "sampled_tokens_per_s": sampled / sample_s,
        "trained_tokens_per_s": statistics.median(t.trained_tokens for t in times) / train_s,
    }


def with_ratios(result: dict) -> dict:
    """How many times longer than ours a step takes: above 1, ours is faster."""
    steps = result["steps"]
    trl = {n: s["seconds"] for n, s in steps.items() if n.startswith("TRL")}
    plain = min(s["seconds"] for n, s in steps.items() if n.startswith("plain"))
    ratios: dict[str, float] = {}
    for name in (name for name in OURS.values() if name in steps):
        ratios[f"best plain loop / {name}"] = plain / steps[name]["seconds"]
        if "TRL, default" in trl:
            ratios[f"TRL default / {name}"] = trl["TRL, default"] / steps[name]["seconds"]
            ratios[f"TRL best / {name}"] = min(trl.values()) / steps[name]["seconds"]
        ratios[f"{name} / floor"] = steps[name]["seconds"] / result["floor"]["seconds"]
    return {**result, "ratios": ratios}


def show(result: dict) -> None:
    print(
        f"{result['prompts']} prompts of {result['mean_context_tokens']:.0f} tokens x "
        f"{result['samples_per_prompt']} completions of {result['completion_tokens']}; "
        f"{result['workers']} cores; medians of {result['rounds']} interleaved rounds\n"
    )
    columns = "step s", "(fastest", "slowest)", "sample s", "train s", "rollouts/s"
    print(f"{'':30}" + "".join(f"{c:>11}" for c in (*columns, "sampled/s", "trained/s")))
    for name, step in result["steps"].items():
        cells = [f"{step[k]:11.3f}" for k in list(step)[:5]]
        cells += [f"{step[k]:11.0f}" for k in list(step)[5:]]
        print(f"{name:30}" + "".join(cells))
    floor = result["floor"]
    print(
        f"{'arithmetic floor':30}{floor['seconds']:11.3f}   {floor['gflop']:.1f} GFLOP at "
        f"{floor['gflop_per_s']:.0f} GFLOP/s\n"
    )
    for name, ratio in result["ratios"].items():
        print(f"{name:30}{ratio:11.2f}")
    if not any(name.startswith("TRL") for name in result["ratios"]):
        print("TRL: skipped, no --trl-python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="checkpoint directory (default: pico)")
    parser.add_argument("--trl-python", help="an interpreter that has TRL; without: no TRL rows")
    parser.add_argument(
        "--trl-settings",
        default=",".join(TRL_SETTINGS),
        help="the rows to measure, of those in step_trl.py; the ratios need `default`",
    )
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--plain-threads",
        type=lambda text: sorted(map(int, text.split(","))),
        help="of the plain loops, by comma (default: 1, 2 and as many as there are workers)",
    )
    parser.add_argument(
        "--no-quick-start",
        dest="quick_start",
        action="store_false",
        help="without the quick start's shape, which takes long with a large model",
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        type=Precision,
        default=tuple(Precision),
        help="of ours; one alone takes less memory",
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.plain_threads is None:
        arguments.plain_threads = sorted({1, 2, arguments.workers})
    result = with_ratios(measure(arguments))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


if __name__ == "__main__":
    main()
