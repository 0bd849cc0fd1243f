"""Pre-training on generated documents: next-token loss, data parallel on CPU.

Every rank is one process of one thread with its own documents; gradients are summed, divided by
the global number of answer tokens, and every rank takes the same optimiser step.  Document i of
rank r at step s is a pure function of the recipe, so a resumed run sees what it would have seen.
Not here: which documents (the caller's `draw`), reinforcement (`trainer`).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from proofloop.core.record import Record
from proofloop.engine.models.choices import chosen_logprobs
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.native.training import can_train, packed_hidden
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.train.muon import Muon
from proofloop.train.packing import packed_texts


class PretrainConfig(Record):
    """How long and how; the corpus and the network have their own settings."""

    num_steps: int = 3_860
    documents_per_step: int = 96
    learning_rate: float = 2e-3
    warmup_share: float = 0.02
    opening_share: float = 0.7
    """Share of the steps on the opening corpus, which the caller's documents follow."""
    decay_share: float = 0.4
    """Share of the steps, at the end, over which the rate falls linearly to zero."""
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    muon: bool = True
    """Matrices of the layers by Muon (orthogonalised momentum, Jordan et al. 2024)."""
    prompt_weight: float = 0.5
    """Weight of a prompt's token in the loss, an answer's being 1: shown results can be foretold
    from the examples before them, and learning to do so is most of learning to program here."""
    seed: int = 0
    checkpoint_every: int = 200


class Document(NamedTuple):
    """Tokens of one text; the loss is over those from `answer_start` on."""

    tokens: list[int]
    answer_start: int


class Progress(NamedTuple):
    """One step, as rank 0 reports it."""

    step: int
    loss: float
    """Mean negative log-likelihood of an answer token, nats."""
    documents_per_s: float


@dataclass(frozen=True, slots=True)
class Rank:
    """Which process of how many."""

    index: int
    count: int


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero."""
    warmup = max(1, round(config.warmup_share * config.num_steps))
    decay = max(1, round(config.decay_share * config.num_steps))
    return config.learning_rate * min(1.0, (step + 1) / warmup, (config.num_steps - step) / decay)


def optimisers(model: Decoder, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices} if config.muon else set[int]()
    rest = [p for p in model.parameters() if id(p) not in chosen]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
    ]
    if config.muon:
        found.append(Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay))
    return found


def document(tokenizer: ChatTokenizer, context: str, answer: str) -> Document:
    """Context text as a template renders it, then the answer and the stop token."""
    encode = tokenizer.tokenizer.encode
    prompt = encode(context, add_special_tokens=False).ids
    reply = encode(answer, add_special_tokens=False).ids
    return Document(tokens=[*prompt, *reply, tokenizer.stop_ids[0]], answer_start=len(prompt))


def micro_batches(
    draw: Callable[[Random, float], Document], config: PretrainConfig, rank: Rank, start: int
) -> Iterator[list[list[Document]]]:
    """For each step from `start`: this rank's documents, cut into batches of like length.

    Documents are drawn for eight steps at a time and sorted, because padding costs as much as
    tokens.  A step pairs short batches with long ones, so that every rank has about as much to do
    as the others, who would wait for it.
    """
    size, window = 16, 8
    pairs_per_step = max(1, round(config.documents_per_step / rank.count / (2 * size)))
    for block in range(start // window, -(-config.num_steps // window)):
        rng = Random(f"pretrain {config.seed} {rank.index}/{rank.count} {block}")
        done = block * window / config.num_steps
        documents = [draw(rng, done) for _ in range(2 * size * pairs_per_step * window)]
        documents.sort(key=lambda d: len(d.tokens))
        batches = [documents[i : i + size] for i in range(0, len(documents), size)]
        pairs = [[batches[i], batches[-1 - i]] for i in range(len(batches) // 2)]
        rng.shuffle(pairs)
        for step in range(window):
            if block * window + step >= start:
                chosen = pairs[step * pairs_per_step : (step + 1) * pairs_per_step]
                yield [batch for pair in chosen for batch in pair]


class Loss(NamedTuple):
    """Sums over a batch, nats."""

    weighted: Tensor
    """Over all tokens; what is descended."""
    answers: float
    """Over the answers' tokens, unweighted."""
    num_answer_tokens: int


def summed_loss(model: Decoder, documents: list[Document], prompt_weight: float) -> Loss:
    texts = [torch.tensor(d.tokens) for d in documents]
    weights = [torch.ones(len(text)) for text in texts]
    for weights_T, document in zip(weights, documents, strict=True):
        weights_T[: document.answer_start] = prompt_weight
    weights_N = torch.cat([weights_T[1:] for weights_T in weights])
    answers_N = weights_N == 1.0
    logprobs_N = chosen_logprobs(
        _hidden(model, [text[:-1] for text in texts]),
        model.lm_head.weight,
        torch.cat([text[1:] for text in texts]),
        1.0,
    )
    return Loss(
        weighted=-(logprobs_N * weights_N).sum(),
        answers=-float(logprobs_N.detach()[answers_N].sum()),
        num_answer_tokens=int(answers_N.sum()),
    )


def _hidden(model: Decoder, texts: list[Tensor]) -> Tensor:
    """Final hidden states (N, C) of all tokens, one text after the other."""
    longest = max(len(text) for text in texts)
    if can_train(model, longest):
        return packed_hidden(model, packed_texts(texts))
    tokens_BT = pad_sequence(texts, batch_first=True)
    lengths_B = torch.tensor([len(text) for text in texts])
    hidden_BTC, _ = model.encode_context(tokens_BT, lengths_B)
    return hidden_BTC[torch.arange(longest) < lengths_B[:, None]]


def pretrain(
    model: Decoder,
    config: PretrainConfig,
    draw: Callable[[Random, float], Document],
    rank: Rank,
    *,
    state_path: Path,
) -> Iterator[Progress]:
    """Trains in place on documents that `draw` makes of a random source and the share of the steps
    that are done; with several ranks, torch.distributed must be initialised.

    Resumes from `state_path` where it exists, and rank 0 writes it every `checkpoint_every` steps.
    """
    parameters = list(model.parameters())
    steppers = optimisers(model, config)
    start = _load_state(state_path, model, steppers)
    batches = micro_batches(draw, config, rank, start)
    for step in range(start, config.num_steps):
        began = time.perf_counter()
        totals = torch.zeros(3)
        for documents in next(batches):
            loss = summed_loss(model, documents, config.prompt_weight)
            loss.weighted.backward()
            totals += torch.tensor([loss.answers, loss.num_answer_tokens, len(documents)])
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None] + [totals])
        if rank.count > 1:
            dist.all_reduce(flat)
        totals = flat[-3:]
        gradients = flat[:-3].split([p.numel() for p in parameters])
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.view_as(p) / totals[1]
        torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = learning_rate(config, step)
            stepper.step()
            stepper.zero_grad()
        done = step + 1
        if rank.index == 0 and (done % config.checkpoint_every == 0 or done == config.num_steps):
            _save_state(state_path, done, model, steppers)
        seconds = time.perf_counter() - began
        yield Progress(done, float(totals[0] / totals[1]), float(totals[2]) / seconds)


def _save_state(
    path: Path, step: int, model: Decoder, steppers: list[torch.optim.Optimizer]
) -> None:
    temporary = path.with_suffix(".tmp")
    states = [s.state_dict() for s in steppers]
    torch.save({"step": step, "model": model.state_dict(), "optimisers": states}, temporary)
    temporary.replace(path)


def _load_state(path: Path, model: Decoder, steppers: list[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for stepper, saved in zip(steppers, state["optimisers"], strict=True):
        stepper.load_state_dict(saved)
    return state["step"]
