"""What one device does with a model's shape: reading weights, multiplying, sampling, training.

    PYTHONPATH=src python bench/gpu.py [--shape 0.5b|1.5b|7b|tiny] [--precision bfloat16]
        [--batches 1 8 64 256] [--tokens 4096] [--only decode train equal] [--head tf32] [--json]

Random weights; only speed and agreement are measured.  Rows:

- the machine's own: bytes copied a second, and operations a second of large matrix products;
- `decode`: tokens a second of `LocalEngine` for each batch, from the difference of two lengths, so
  that contexts and hashes are out of it, beside what reading every byte that a step must read would
  allow at the copied rate (weights once, keys and values of every row);
- `train`: tokens a second of forward and backward on `--tokens` packed positions, with and without
  activation checkpointing, and the share of the product rate that 6 operations a weight and token
  (recomputation not counted) come to; the head, in float32, by itself;
- `equal`: loss, log-probabilities and gradient of the embedded model on this device against the
  CPU's in float32.

`--device cpu --shape tiny` tries the script where there is no GPU.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.choices import chosen_logprobs
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import adopt_gradient, flatten
from proofloop.runs.models import resolve_model
from proofloop.runs.placement import why_no_gpu
from proofloop.train.config import LossKind, Precision
from proofloop.train.objective import Objective
from proofloop.train.samples import Bundle, Sample
from proofloop.train.trainer import accumulate

Row = dict[str, object]


def shape(
    layers: int, width: int, heads: int, kv_heads: int, inner: int, vocab: int, *, tied: bool
) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=width // heads,
        max_position_embeddings=8192,
        attention_bias=True,
        tie_word_embeddings=tied,
    )


SHAPES = {
    "tiny": shape(2, 64, 4, 2, 128, 320, tied=True),
    "0.5b": shape(24, 896, 14, 2, 4864, 151_936, tied=True),
    "1.5b": shape(28, 1536, 12, 2, 8960, 151_936, tied=True),
    "7b": shape(28, 3584, 28, 4, 18_944, 152_064, tied=False),
}
"""Of Qwen2.5's published sizes."""


def seconds(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """Median, after one round that warms up."""

    def once() -> float:
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        return time.perf_counter() - began

    once()
    return statistics.median(once() for _ in range(rounds))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def build(config: DecoderConfig, device: torch.device, precision: Precision) -> Decoder:
    torch.manual_seed(0)
    with device:
        model = Decoder(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.02)
    compute_in(model, torch.bfloat16 if precision is Precision.BFLOAT16 else None)
    return model


def machine(device: torch.device) -> Iterator[Row]:
    small = device.type == "cpu"
    block = torch.empty(2**24 if small else 2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    took = seconds(lambda: target.copy_(block), device)
    yield {"what": "bytes copied / s", "value": 2 * block.numel() / took}
    size = 512 if small else 8192
    for dtype in (torch.bfloat16, torch.float32):
        a = torch.randn(size, size, device=device, dtype=dtype)
        took = seconds(lambda a=a: a @ a, device)
        yield {"what": f"products in {str(dtype)[6:]}, operations / s", "value": 2 * size**3 / took}


def decode(engine: LocalEngine, batch: int, device: torch.device, bytes_per_s: float) -> Row:
    model, config = engine.model, engine.model.config
    short, long, context = 32, 160, 64
    draw = random.Random(0)
    prompt = tuple(draw.randrange(config.vocab_size) for _ in range(context))

    def sample(num_tokens: int) -> None:
        sampling = SamplingParams(max_tokens=num_tokens)
        groups = [
            Request(context=prompt, seeds=tuple(range(i, min(i + 8, batch))), sampling=sampling)
            for i in range(0, batch, 8)
        ]
        engine.generate(groups)

    took = [seconds(lambda n=n: sample(n), device, rounds=3) for n in (short, long)]
    a_step = (took[1] - took[0]) / (long - short)
    item = 2 if model.stack[0].self_attn.arithmetic is torch.bfloat16 else 4
    matrices = sum(p.numel() for layer in model.stack for p in layer.parameters() if p.dim() > 1)
    own = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * item
    groups = (batch + 7) // 8
    keys = own * (batch * (short + long) / 2 + groups * context)
    read = matrices * item + model.lm_head.weight.numel() * 4 + keys
    bound = batch * bytes_per_s / read
    return {
        "what": "decode",
        "batch": batch,
        "tokens / s": batch / a_step,
        "bound": bound,
        "share": batch / a_step / bound,
    }


def train(
    model: Decoder, num_tokens: int, device: torch.device, rate: float, *, again: bool
) -> Row:
    """Two groups of four samples that share an eighth of their positions as context."""
    config = model.config
    draw = random.Random(0)

    def some(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(config.vocab_size) for _ in range(n))

    context, each = num_tokens // 16, (num_tokens - num_tokens // 8) // 8

    def bundle() -> Bundle:
        shared = some(context)
        return Bundle(
            samples=tuple(
                Sample(
                    context=shared,
                    tokens=some(each),
                    trained=(True,) * each,
                    sampler_logprobs=(-1.0,) * each,
                    advantages=(1.0,) * each,
                )
                for _ in range(4)
            )
        )

    bundles = [bundle(), bundle()]
    model.recomputes = again
    gradient = torch.zeros(sum(p.numel() for p in model.parameters()), device=device)
    adopt_gradient(model, gradient)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> None:
        accumulate(
            model,
            bundles,
            objective=Objective(loss=LossKind.POLICY_GRADIENT),
            denominator=num_tokens,
            temperature=1.0,
            max_positions=2 * num_tokens,
        )

    took = seconds(step, device, rounds=3)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    in_layers = sum(p.numel() for layer in model.stack for p in layer.parameters() if p.dim() > 1)
    head = 8 * each * model.lm_head.weight.numel()
    operations = 6 * (in_layers * (2 * context + 8 * each) + head)
    return {
        "what": "train",
        "checkpointing": again,
        "tokens / s": (2 * context + 8 * each) / took,
        "share": operations / took / rate,
        "peak GiB": peak / 2**30,
    }


def head(model: Decoder, num_tokens: int, device: torch.device) -> Row:
    hidden = torch.randn(num_tokens, model.config.hidden_size, device=device, requires_grad=True)
    chosen = torch.randint(model.config.vocab_size, (num_tokens,), device=device)
    weight = model.lm_head.weight

    def work() -> None:
        chosen_logprobs(hidden, weight, chosen, 1.0).sum().backward()

    return {"what": "head alone", "tokens / s": num_tokens / seconds(work, device, rounds=3)}


def equal(device: torch.device) -> Iterator[Row]:
    directory = resolve_model("pico")
    draw = random.Random(1)

    def run(where: torch.device, precision: Precision) -> tuple[Tensor, float]:
        model = load_model(directory).to(where)
        compute_in(model, torch.bfloat16 if precision is Precision.BFLOAT16 else None)
        stats = accumulate(
            model,
            bundles,
            objective=Objective(loss=LossKind.POLICY_GRADIENT),
            denominator=100,
            temperature=1.0,
            max_positions=4096,
        )
        grads = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
        return torch.cat(grads), stats.loss

    def some(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(100, 300) for _ in range(n))

    context = some(20)
    bundles = [
        Bundle(
            samples=tuple(
                Sample(
                    context=context,
                    tokens=some(30),
                    trained=(True,) * 30,
                    sampler_logprobs=(-1.0,) * 30,
                    advantages=(1.0,) * 30,
                )
                for _ in range(4)
            )
        )
    ]
    expected, expected_loss = run(torch.device("cpu"), Precision.FLOAT32)
    for precision in Precision:
        gradient, loss = run(device, precision)
        yield {
            "what": f"{device.type} in {precision.value} against the CPU in float32",
            "loss, relative": abs(loss / expected_loss - 1),
            "gradient, relative": float((gradient - expected).norm() / expected.norm()),
        }


def rows(options: argparse.Namespace) -> Iterator[Row]:
    device, precision = torch.device(options.device), Precision(options.precision)
    if options.head == "tf32":
        torch.set_float32_matmul_precision("high")
    own = list(machine(device))
    yield from own
    copied = float(str(own[0]["value"]))
    rate = float(str(own[1 if precision is Precision.BFLOAT16 else 2]["value"]))
    if "equal" in options.only:
        yield from equal(device)
    if not {"decode", "train"} & set(options.only):
        return
    model = build(SHAPES[options.shape], device, precision)
    if "decode" in options.only:
        threads, most = torch.get_num_threads(), max(options.batches)
        engine = LocalEngine(
            model, flatten(model), (), kernel=False, num_threads=threads, max_rows=most
        )
        for batch in options.batches:
            yield decode(engine, batch, device, copied)
        del engine
    if "train" in options.only:
        for again in (False, True):
            yield train(model, options.tokens, device, rate, again=again)
        yield head(model, options.tokens, device)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--shape", default="0.5b", choices=SHAPES)
    parser.add_argument("--precision", default="bfloat16", choices=[p.value for p in Precision])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--only", nargs="+", default=["equal", "decode", "train"])
    parser.add_argument("--head", default="float32", choices=("float32", "tf32"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    missing = why_no_gpu()
    if options.device == "cuda" and missing is not None:
        print(f"{missing}, or try --device cpu --shape tiny", file=sys.stderr)
        return 2
    if options.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", file=sys.stderr)
    for row in rows(options):
        shown = {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in row.items()}
        print(json.dumps(row) if options.json else "  ".join(f"{k}: {v}" for k, v in shown.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
