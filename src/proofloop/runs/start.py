"""What a run starts from: a model's weights and, by method, another run's successes, a teacher."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from proofloop.core.errors import ModelError, RunError
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.networks import load_network, positions_of, random_network
from proofloop.engine.models.peft import merge_adapter
from proofloop.engine.models.weights import flatten
from proofloop.render.prefix import check_prefix_preserving
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.config import load_run_config
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import Teacher
from proofloop.runs.recipe import Init, ModelConfig, Recipe
from proofloop.store import RunReader, RunStore
from proofloop.train.config import FeedbackArm, Method
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
    return Teacher(model_path=path, weights=flatten(model).share_memory_())


def _tokenizer(recipe: Recipe) -> bytes:
    return _tokenizer_of(resolve_model(recipe.model.path))


def _tokenizer_of(directory: Path) -> bytes:
    path = directory / "tokenizer.json"
    return path.read_bytes() if path.is_file() else b""


def _lessons(recipe: Recipe, source: RunReader, theirs: Recipe) -> Lessons:
    done = source.last_step() or 0
    if done < theirs.train.num_steps:
        raise RunError(
            f"{source.directory}: has reached step {done} of {theirs.train.num_steps}, and only "
            "of a finished run it is known how many tokens it trained on; finish it with "
            f"`proofloop train --resume {source.directory}`"
        )
    if theirs.train.method is not Method.RL:
        raise RunError(
            f"{source.directory}: sampled nothing to learn from (train.method = "
            f"{theirs.train.method}); name a run that trained by reward"
        )
    return lessons_of(source, num_steps=recipe.train.num_steps, seed=recipe.train.seed)
