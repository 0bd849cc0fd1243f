"""A training run: builds the parts, runs the loop, leaves a directory that tells what happened.

A run directory holds `config.toml` (resolved), `manifest.json`, `run.db`, `segments/`,
`checkpoints/` and, when the last step is done, `model/` in Hugging Face format (and, where adapters
trained, `adapter/` in PEFT's).
"""

import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import assert_never

import torch

from proofloop.core.errors import ConfigError, TrainingHalted
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.networks import save_network
from proofloop.engine.models.weights import flatten, sha256, shared
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.adapters import save_trained_adapter, start_policy
from proofloop.runs.config import CONFIG_NAME, dump_toml
from proofloop.runs.crews import open_crew
from proofloop.runs.environments import build_environment
from proofloop.runs.length_bias import finish_reward_model
from proofloop.runs.machine_check import check_machine
from proofloop.runs.manifest import collect_manifest, num_workers, this_command, write_manifest
from proofloop.runs.models import resolve_model
from proofloop.runs.optimisers import build_optimiser
from proofloop.runs.orders import CrewSetup
from proofloop.runs.placement import says
from proofloop.runs.recipe import EngineKind, Recipe, advantage_rule, objective_of
from proofloop.runs.reward_models import NAME
from proofloop.runs.rewards import solved_above
from proofloop.runs.sampler import open_sampler
from proofloop.runs.settings import check_template
from proofloop.runs.start import (
    keeps_start,
    open_lessons,
    open_pairs,
    open_reward_model,
    open_teacher,
    start_head,
    start_tokenizer,
)
from proofloop.runs.trackers.feed import open_feed
from proofloop.runs.verification import check_tasks
from proofloop.store import RunStore
from proofloop.store.files import TEMPORARY_PREFIX, write_atomic
from proofloop.train.config import FeedbackArm, Method
from proofloop.train.curriculum import DrawRule, choose_tasks
from proofloop.train.distil import Teacher
from proofloop.train.loop_copy import loop_copy
from proofloop.train.loop_pairs import PairLessons, loop_pairs
from proofloop.train.loop_sft import loop_sft
from proofloop.train.loop_sync import Report, load_state, loop_sync
from proofloop.train.packing import packs
from proofloop.train.parts import LoopConfig, LoopState, Parts
from proofloop.train.successes import Lessons
from proofloop.train.turn_credit import TurnRule
from proofloop.train.values import GaeRule


def run_training(
    recipe: Recipe, out: Path, *, resume: bool, on_progress: Callable[[Report], None]
) -> None:
    """Trains, or goes on training, in `out`.

    Ctrl-C once: stops after the step in hand and raises KeyboardInterrupt; the run can be resumed.
    Raises UserError for what the user can mend and WorldError for what broke under way.
    """
    if recipe.engine.kind is EngineKind.SERVER:
        raise ConfigError(
            "engine.kind: server is for eval; training changes weights, and a server's are not its "
            "to change. Use vllm, or local"
        )
    model_path = resolve_model(recipe.model.path)
    tokenizer = start_tokenizer(recipe)
    check_template(recipe, tokenizer)
    environment = build_environment(recipe.env)
    check_machine(recipe.sandbox.tier, environment)
    if not resume:
        check_tasks(environment, recipe.sandbox.tier, recipe.train.workers)
    torch.set_num_threads(1)
    model, lora = start_policy(recipe)
    weights = shared(flatten(model))
    trained = weights if lora is None else shared(flatten(lora))
    if lora is not None:
        lora.merge()
    reference = shared(weights.clone()) if keeps_start(recipe) else None
    teacher = open_teacher(recipe)
    head = start_head(recipe, model.config.hidden_size, weights.device)
    on_cpu = weights.device.type == "cpu"  # where workers have the other cores
    room = model.config.max_position_embeddings
    pairs, reward_model = (
        open_pairs(recipe, tokenizer, max_positions=room),
        open_reward_model(recipe),
    )
    with (
        open_lessons(recipe) as lessons,
        open_run(recipe, out, resume=resume) as store,
        open_sampler(recipe, out, model, weights, tokenizer) as sampler,
        open_crew(
            CrewSetup(
                recipe=recipe if sampler is None else sampler.recipe,
                model_path=model_path,
                weights=weights,
                reference=reference,
                teacher=teacher,
                adapter=None if lora is None else trained,
                head=head,
                reward_model=reward_model,
            ),
            model,
            send=None if sampler is None else sampler.send,
            engine=None if sampler is None else sampler.here,
        ) as crew,
        graceful_interrupt() as interrupted,
    ):
        parts = Parts(
            config=loop_config(recipe, packs=packs(model)),
            environment=environment,
            crew=crew,
            optimiser=build_optimiser(recipe, trained, head, None if lora is None else lora.merge),
            weights_sha256=partial(sha256, weights, 1 if on_cpu else num_workers(0)),
            store=store,
            directory=out / "checkpoints",
            teacher=teacher_of(recipe, tokenizer, room),
            only=choose_tasks(environment, recipe.train.num_tasks, seed=recipe.train.tasks_seed),
        )
        state = load_state(parts)
        if resume:
            store.event("resumed", f"from step {state.step}")
        if (unusual := says(recipe.train, weights.device)) is not None:
            store.event_once("arithmetic", unusual)
        crew.publish(state.step)
        if recipe.reward.model is not None:
            store.event_once(
                "reward_model", f"rewards are the scores of {recipe.reward.model}, not verdicts"
            )
        feed = open_feed(recipe, store)
        try:
            for report in _loop(recipe.train.method, parts, state, lessons or pairs):
                on_progress(report)
                feed.catch_up()
                if interrupted():
                    raise KeyboardInterrupt
        except TrainingHalted as alarm:
            store.event_once("alarm", str(alarm))
            raise
        finally:
            feed.close()
        if head is not None and pairs is not None:
            finish = partial(
                finish_reward_model, recipe, parts, pairs, model, head, tokenizer.stop_ids
            )
            replace_directory(out / NAME, finish)
            return
        if lora is not None:
            replace_directory(out / "adapter", partial(save_trained_adapter, lora, recipe))
        replace_directory(out / "model", partial(_save_model, model, recipe, tokenizer))


def _loop(
    method: Method, parts: Parts, state: LoopState, lessons: Lessons | PairLessons | None
) -> Iterator[Report]:
    match method:
        case Method.RL | Method.DISTIL:
            return loop_sync(parts, state)
        case Method.SFT:
            assert isinstance(lessons, Lessons), "opened with the run"
            return loop_sft(parts, state, lessons)
        case Method.DPO | Method.REWARD_MODEL:
            assert isinstance(lessons, PairLessons), "opened before the run"
            return loop_pairs(parts, state, lessons)
        case Method.COPY:
            return loop_copy(parts, state)
        case _:
            assert_never(method)


def open_run(recipe: Recipe, out: Path, *, resume: bool) -> RunStore:
    """The run directory's store; a new one also gets its resolved recipe and manifest."""
    if resume:
        return RunStore.open(out)

    def describe() -> None:
        write_atomic(out / CONFIG_NAME, dump_toml(recipe).encode())
        write_manifest(out, collect_manifest(this_command(), {"train": recipe.train.seed}))

    return RunStore.create(out, prepare=describe)


def replace_directory(directory: Path, write: Callable[[Path], None]) -> None:
    """By rename: whoever finds `directory` finds all of it."""
    temporary = directory.with_name(f"{TEMPORARY_PREFIX}{directory.name}")
    for leftover in (temporary, directory):
        if leftover.exists():
            shutil.rmtree(leftover)
    write(temporary)
    temporary.rename(directory)


def _save_model(model: Decoder, recipe: Recipe, tokenizer: ChatTokenizer, directory: Path) -> None:
    save_network(
        model,
        directory,
        tokenizer_from=resolve_model(recipe.model.path),
        dtype=getattr(torch, recipe.model.save_dtype),
        stop_ids=tokenizer.stop_ids,
    )


def loop_config(recipe: Recipe, *, packs: bool = True) -> LoopConfig:
    """`packs`: whether its trainer may run without padding (`train.packing`)."""
    train, evaluation = recipe.train, recipe.eval
    return LoopConfig(
        num_steps=train.num_steps,
        seed=train.seed,
        tasks_per_step=train.tasks_per_step,
        samples_per_task=train.samples_per_task,
        updates_per_step=train.updates_per_step,
        checkpoint_every=train.checkpoint_every,
        max_logprob_gap=(
            train.precision.max_gap if train.max_logprob_gap is None else train.max_logprob_gap
        ),
        eval_every=evaluation.every,
        eval_num_tasks=evaluation.num_tasks,
        eval_num_samples=evaluation.num_samples,
        final_num_tasks=evaluation.final_num_tasks,
        final_num_samples=evaluation.final_num_samples,
        advantages=advantage_rule(recipe),
        tripwire_share=recipe.tripwire.share,
        alarms=recipe.alarms,
        feedback=recipe.feedback,
        eval_attempts=eval_attempts(recipe),
        eval_seed=evaluation.seed,
        eval_later_seed=evaluation.later_seed,
        objective=objective_of(recipe),
        temperature=recipe.sampling.temperature,
        max_tokens=recipe.sampling.max_tokens,
        refill=train.refill,
        has_teacher=train.method is Method.DISTIL,
        max_pass_rate=recipe.curriculum.max_pass_rate,
        packs=packs,
        draw=DrawRule(
            order=recipe.curriculum.order,
            advance_at=recipe.curriculum.advance_at,
            solved_above=solved_above(recipe.reward),
        ),
        turns=TurnRule(credit=train.turn_credit, gamma=train.turn_gamma, weight=train.turn_weight),
        gae=GaeRule(gamma=train.gamma, gae_lambda=train.gae_lambda, scale=train.advantage_scale),
    )


def eval_attempts(recipe: Recipe) -> int:
    """Turns that a held-out attempt may take."""
    return recipe.feedback.attempts if recipe.eval.feedback else 1


def teacher_of(recipe: Recipe, tokenizer: ChatTokenizer, max_positions: int) -> Teacher | None:
    """Where the recipe says that the policy is to teach itself."""
    if recipe.feedback.arm is not FeedbackArm.DISTIL:
        return None
    return Teacher(
        tokenizer=tokenizer,
        weight=recipe.feedback.weight,
        temperature=recipe.sampling.temperature,
        max_positions=max_positions,
    )


@contextmanager
def graceful_interrupt() -> Generator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a question that the loop asks; the second one is immediate."""
    asked = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
