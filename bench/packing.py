"""What shared prompts and packing bring to training, and that gradients stay what they are.

    PYTHONPATH=src python bench/packing.py [--model DIR] [--rounds 5] [--tokens 4096]

For every group size and every share that the prompt has of a sequence: the gradient of about
`--tokens` tokens of log-likelihood, by one thread, in three forms: `plain`, every sample with its
own copy of the prompt, padded to the longest; `shared`, the prompt once a group, padded, in
PyTorch; `packed`, the prompt once, no padding, by the kernel.  Completion lengths are drawn evenly
from a tenth of the longest to the longest.  Times are processor seconds, medians of interleaved
rounds; the gap is the largest distance of any weight's gradient from the plain one, relative to
that weight's largest.
"""

import argparse
import os
import random
import statistics
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor

from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.choices import chosen_logprobs
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.native.training import packed_hidden
from proofloop.runs.models import resolve_model
from proofloop.train.packing import packed
from proofloop.train.samples import Bundle, Sample, bundles_of, micro_batches
from proofloop.train.trainer import MicroBatch, collate

LENGTH = 160
"""Positions of the longest sequence, prompt included."""
GROUP_SIZES = (1, 4, 8, 16)
PROMPT_SHARES = (0.25, 0.5, 0.75)
MICRO_BATCH = 1024


def groups_of(
    group_size: int, prompt_share: float, num_tokens: int, vocab_size: int
) -> list[list[Sample]]:
    rng = random.Random(0)
    prompt, longest = int(LENGTH * prompt_share), LENGTH - int(LENGTH * prompt_share)
    groups: list[list[Sample]] = []
    left = num_tokens
    while left > 0:
        context = tuple(rng.randrange(vocab_size) for _ in range(prompt))
        groups.append([])
        for _ in range(group_size):
            n = rng.randint(max(1, longest // 10), longest)
            groups[-1].append(
                Sample(
                    context=context,
                    tokens=tuple(rng.randrange(vocab_size) for _ in range(n)),
                    trained=(True,) * n,
                    sampler_logprobs=(0.0,) * n,
                    advantages=(1.0,) * n,
                )
            )
            left -= n + prompt
    return groups


def forms_of(groups: list[list[Sample]]) -> dict[str, list[MicroBatch]]:
    alone = [Bundle(samples=(sample,)) for group in groups for sample in group]
    shared = [bundle for group in groups for bundle in bundles_of(group)]
    whole = [bundle for group in groups for bundle in bundles_of(group, padded=False)]
    cuts = {
        "plain": micro_batches(alone, max_positions=MICRO_BATCH),
        "shared": micro_batches(shared, max_positions=MICRO_BATCH),
        "packed": micro_batches(whole, max_positions=MICRO_BATCH, padded=False),
    }
    return {form: [collate(part) for part in parts] for form, parts in cuts.items()}


def gradient(model: Decoder, batches: list[MicroBatch], *, by_kernel: bool) -> float:
    """Of the sum of all log-probabilities.  Processor seconds."""
    model.zero_grad()
    began = time.process_time()
    for batch in batches:
        if by_kernel:
            parts = (batch.contexts_GP, batch.lengths_G, batch.inputs_GST, batch.trained_GST)
            hidden_NC = packed_hidden(model, packed(*parts))
        else:
            _, context = model.encode_context(batch.contexts_GP, batch.lengths_G)
            hidden_NC = model.extend(batch.inputs_GST, context)[batch.trained_GST]
        targets_N = batch.targets_GST[batch.trained_GST]
        chosen_logprobs(hidden_NC, model.lm_head.weight, targets_N, 1.0).sum().backward()
    return time.process_time() - began


def show(model: Decoder, size: int, share: float, num_tokens: int, rounds: int) -> None:
    forms = forms_of(groups_of(size, share, num_tokens, model.config.vocab_size))
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    found: dict[str, list[Tensor]] = {}
    for _ in range(rounds):
        for form, batches in forms.items():
            seconds[form].append(gradient(model, batches, by_kernel=form == "packed"))
            found[form] = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    gap = max(
        float((ours - plain).abs().max() / plain.abs().max())
        for form in ("shared", "packed")
        for ours, plain in zip(found[form], found["plain"], strict=True)
    )
    plain, *others = (statistics.median(times) for times in seconds.values())
    ratios = " | ".join(f"{plain / other:.1f}×" for other in others)
    print(f"| {size} | {share:.0%} | {plain:.2f} | {ratios} | {gap:.0e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="checkpoint directory (default: pico)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=4096)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model or resolve_model("pico"))
    print("| samples a group | prompt's share | plain, s | shared | packed | largest gap |")
    print("|---|---|---|---|---|---|")
    for size in GROUP_SIZES:
        for share in PROMPT_SHARES:
            show(model, size, share, arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()
