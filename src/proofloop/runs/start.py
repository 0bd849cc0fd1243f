"""What a run starts from: a model's weights and, by method, another run's successes, a teacher."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from proofloop.core.errors import ModelError, RunError
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.networks import load_network, positions_of, random_network
from proofloop.engine.models.peft import merge_adapter
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import flatten, shared
from proofloop.render.prefix import check_prefix_preserving
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.config import load_run_config
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import Teacher
from proofloop.runs.pairs import lessons_of as pair_lessons
from proofloop.runs.pairs import pairs_of_run, read_pairs
from proofloop.runs.recipe import Init, ModelConfig, Recipe, objective_of
from proofloop.runs.reward_models import RewardModel, load_reward_model
from proofloop.store import RunReader, RunStore
from proofloop.train.config import FeedbackArm, LengthCorrection, Method
from proofloop.train.loop_pairs import PairLessons
from proofloop.train.successes import Lessons, lessons_of


def start_model(model: ModelConfig) -> Decoder:
    """With the recipe's adapter merged into its weights.  Raises ModelError."""
    path = resolve_model(model.path)
    if model.init is Init.RANDOM:
        found = random_network(path, model.backend, model.init_seed)
    else:
        found = load_network(path, model.backend)
    if model.adapter is not None:
        merge_adapter(found, Path(model.adapter).expanduser())
    return found


def start_head(recipe: Recipe, width: int, device: torch.device) -> Tensor | None:
    """Weights of a scalar head on the model, in shared memory or on its device, at 0; None where
    nothing asks for one."""
    if not objective_of(recipe).has_values and recipe.train.method is not Method.REWARD_MODEL:
        return None
    return shared(flatten(ScalarHead(width)).to(device))


def keeps_start(recipe: Recipe) -> bool:
    """Whether anything is compared with the weights that the run starts with."""
    is_reference = recipe.train.method is Method.DPO and not recipe.preference.reference_free
    return recipe.train.kl_weight > 0 or is_reference


def start_tokenizer(recipe: Recipe) -> ChatTokenizer:
    """The model's.  Raises ModelError where it is not there or not whole, or where rollouts are to
    have several turns and its template does not keep them as they are."""
    directory = resolve_model(recipe.model.path)
    tokenizer = ChatTokenizer.load(directory)
    has_turns = recipe.feedback.arm is not FeedbackArm.NONE or recipe.eval.feedback
    if has_turns and not recipe.feedback.any_template:
        check_prefix_preserving(tokenizer, directory)
    return tokenizer


@contextmanager
def open_lessons(recipe: Recipe) -> Generator[Lessons | None]:
    """The successes of `train.sft_from`, its record open as long as they are needed; None for
    another method than `sft`.  Raises RunError where that is no run to learn from."""
    if recipe.train.method is not Method.SFT:
        yield None
        return
    assert recipe.train.sft_from is not None, "checked with the recipe"
    directory = Path(recipe.train.sft_from)
    theirs = load_run_config(Recipe, directory)
    if _tokenizer(theirs) != _tokenizer(recipe):
        raise RunError(
            f"{directory}: its tokens are of {theirs.model.path}, whose tokenizer is not that of "
            f"{recipe.model.path}; use the same model (model.path)"
        )
    with RunStore.read(directory) as source:
        yield _lessons(recipe, source, theirs)


def open_teacher(recipe: Recipe) -> Teacher | None:
    """The model of `train.teacher`, its weights in shared memory; None for another method than
    `distil`.  Raises ModelError where it cannot teach this student."""
    if recipe.train.method is not Method.DISTIL:
        return None
    assert recipe.train.teacher is not None, "checked with the recipe"
    path, student = resolve_model(recipe.train.teacher), resolve_model(recipe.model.path)
    if _tokenizer_of(path) != _tokenizer_of(student):
        raise ModelError(
            f"train.teacher: {recipe.train.teacher} has another tokenizer than {student}, so it "
            "has no log-probabilities of its tokens; take a model of the same family"
        )
    backend = recipe.model.backend
    model = load_network(path, backend)
    room, needed = model.config.max_position_embeddings, positions_of(student, backend)
    if room < needed:
        raise ModelError(
            f"train.teacher: {recipe.train.teacher} reads {room} positions, the student {needed}; "
            "take a teacher with as many"
        )
    return Teacher(model_path=path, weights=shared(flatten(model)))


def open_pairs(
    recipe: Recipe, tokenizer: ChatTokenizer, *, max_positions: int
) -> PairLessons | None:
    """Those of `[preference]`; None for a method that learns from none.  Raises DataError (file,
    line) for a row that is no pair, RunError for a run without any."""
    config, seed = recipe.preference, recipe.train.seed
    if config.data is not None:
        source = config.data
        path = Path(source).expanduser()
        pairs = read_pairs(path, tokenizer, max_positions=max_positions)
    elif config.run is not None:
        source = config.run
        theirs = load_run_config(Recipe, Path(source))
        if _tokenizer(theirs) != _tokenizer(recipe):
            raise RunError(
                f"{source}: its tokens are of {theirs.model.path}, whose tokenizer is not that of "
                f"{recipe.model.path}; use the same model (model.path)"
            )
        with RunStore.read(Path(source)) as reader:
            _check_finished(reader, theirs, "only of a finished run the pairs stay the same")
            pairs = pairs_of_run(reader, pairs_per_task=config.pairs_per_task, seed=seed)
    else:
        return None
    offset = config.length_correction is LengthCorrection.OFFSET
    return pair_lessons(pairs, config, source=source, seed=seed, offset=offset)


def open_reward_model(recipe: Recipe) -> RewardModel | None:
    """The one of `reward.model`, in shared memory.  Raises ModelError where there is none, or where
    it cannot read the policy's tokens."""
    if recipe.reward.model is None:
        return None
    found = load_reward_model(Path(recipe.reward.model).expanduser())
    policy = resolve_model(recipe.model.path)
    if _tokenizer_of(found.model_path) != _tokenizer_of(policy):
        raise ModelError(
            f"reward.model: {recipe.reward.model} has another tokenizer than {policy}, so it "
            "cannot read its answers; train one from the same model (model.path)"
        )
    return found


def _tokenizer(recipe: Recipe) -> bytes:
    return _tokenizer_of(resolve_model(recipe.model.path))


def _tokenizer_of(directory: Path) -> bytes:
    path = directory / "tokenizer.json"
    return path.read_bytes() if path.is_file() else b""


def _check_finished(source: RunReader, theirs: Recipe, why: str) -> None:
    done = source.last_step() or 0
    if done < theirs.train.num_steps:
        raise RunError(
            f"{source.directory}: has reached step {done} of {theirs.train.num_steps}, and {why}; "
            f"finish it with `proofloop train --resume {source.directory}`"
        )


def _lessons(recipe: Recipe, source: RunReader, theirs: Recipe) -> Lessons:
    _check_finished(
        source, theirs, "only of a finished run it is known how many tokens it trained on"
    )
    if theirs.train.method is not Method.RL:
        raise RunError(
            f"{source.directory}: sampled nothing to learn from (train.method = "
            f"{theirs.train.method}); name a run that trained by reward"
        )
    return lessons_of(source, num_steps=recipe.train.num_steps, seed=recipe.train.seed)
