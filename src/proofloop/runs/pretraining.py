"""Pre-training a base model such as `pico` from one recipe (corpus, tokenizer, network), or giving
a model that exists other habits.

The result is a checkpoint directory that Transformers loads.  The corpus is generated while
training; nothing is downloaded.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import torch
import torch.distributed as dist

from proofloop.core.record import Record
from proofloop.core.task import Message
from proofloop.engine.models.checkpoint import copy_tokenizer, load_model, save_model
from proofloop.engine.models.decoder import Decoder, DecoderConfig
from proofloop.engine.models.fresh import fresh_model
from proofloop.envs.functions.corpus import CorpusMix, draw_text
from proofloop.envs.minirepos.corpus import draw_episode
from proofloop.render.bpe import save_tokenizer, train_tokenizer
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.runs.processes import environment, in_environment, process_context
from proofloop.train.pretrain import (
    Document,
    PretrainConfig,
    Progress,
    Rank,
    document,
    pretrain,
)


class NetworkConfig(Record):
    """The size of the network; the rest of its architecture is fixed (Llama)."""

    vocab_size: int = 384
    hidden_size: int = 128
    intermediate_size: int = 352
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    max_position_embeddings: int = 1024


class StartConfig(Record):
    """What to start from."""

    path: str = ""
    """A checkpoint to go on from (a directory, or `pico`), with its own tokenizer and network;
    empty: from nothing, with those of this recipe."""


class PretrainRecipe(Record):
    """Everything that `proofloop pretrain` needs to know."""

    model: StartConfig = StartConfig()
    network: NetworkConfig = NetworkConfig()
    opening: CorpusMix = CorpusMix(
        stepwise=0.8, stepwise_wrong=0.02, lambdas=0.2, lambdas_wrong=0.1, lookup=0.0
    )
    """The corpus at first: what programs are is learned faster from right ones."""
    corpus: CorpusMix = CorpusMix()
    """The corpus after that; its habits are the base model's."""
    training: PretrainConfig = PretrainConfig()


def build_network(network: NetworkConfig, seed: int) -> Decoder:
    """A freshly initialised decoder."""
    config = DecoderConfig(
        **msgspec.structs.asdict(network),
        num_key_value_heads=network.num_attention_heads,
        head_dim=network.hidden_size // network.num_attention_heads,
    )
    return fresh_model(config, seed)


def build_tokenizer(
    recipe: PretrainRecipe, directory: Path, *, num_documents: int = 20_000
) -> ChatTokenizer:
    """Trains the tokenizer on documents of the corpus and saves it."""
    rng = Random(f"tokenizer {recipe.training.seed}")
    texts = (draw_text(rng, recipe.corpus) for _ in range(num_documents))
    corpus = (part for text in texts for part in (text.prompt, text.answer))
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(train_tokenizer(corpus, vocab_size=recipe.network.vocab_size), directory)
    return ChatTokenizer.load(directory)


def draw_document(
    recipe: PretrainRecipe, tokenizer: ChatTokenizer, rng: Random, done: float
) -> Document:
    """One document for the moment when a share `done` of all steps is done."""
    mix = recipe.opening if done < recipe.training.opening_share else recipe.corpus
    # No number is drawn where there is nothing to choose: older corpora stay what they are.
    is_episode = mix.episodes > 0 and rng.random() < mix.episodes
    text = draw_episode(rng, mix) if is_episode else draw_text(rng, mix)
    messages = [Message(role="user", content=text.prompt)]
    for answer, said in text.earlier:
        messages += [
            Message(role="assistant", content=answer),
            Message(role="user", content=said),
        ]
    context = tokenizer.text(tuple(messages))
    return document(tokenizer, context, text.answer)


def run_pretraining(
    recipe: PretrainRecipe, out: Path, *, workers: int, on_progress: Callable[[Progress], None]
) -> Path:
    """Trains with `workers` processes and writes the checkpoint directory `out`.

    Interrupted, it goes on from `out/training.pt` when called again.  Raises ModelError.
    """
    if recipe.model.path:
        copy_tokenizer(resolve_model(recipe.model.path), out)
    elif not (out / "tokenizer.json").exists():
        build_tokenizer(recipe, out)
    with tempfile.TemporaryDirectory() as meeting_place:
        context = process_context()
        helpers = [
            context.Process(
                target=in_environment,
                args=(environment(), _rank, recipe, out, Rank(i, workers), meeting_place),
            )
            for i in range(1, workers)
        ]
        for helper in helpers:
            helper.start()
        try:
            _rank(recipe, out, Rank(0, workers), meeting_place, on_progress)
        finally:
            for helper in helpers:
                helper.terminate()
                helper.join()
    return out


def _rank(
    recipe: PretrainRecipe,
    out: Path,
    rank: Rank,
    meeting_place: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if rank.count > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{meeting_place}/ranks",
            rank=rank.index,
            world_size=rank.count,
        )
    if recipe.model.path:
        model = load_model(resolve_model(recipe.model.path))
    else:
        model = build_network(recipe.network, recipe.training.seed)
    tokenizer = ChatTokenizer.load(out)
    draw = partial(draw_document, recipe, tokenizer)
    state = out / "training.pt"
    for progress in pretrain(model, recipe.training, draw, rank, state_path=state):
        if on_progress is not None:
            on_progress(progress)
            if progress.step % recipe.training.checkpoint_every == 0:
                save_model(model, out, tokenizer_from=out, dtype=torch.bfloat16)
    if rank.index == 0:
        save_model(model, out, tokenizer_from=out, dtype=torch.bfloat16)
    if rank.count > 1:
        dist.destroy_process_group()
