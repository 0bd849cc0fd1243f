"""The synchronous loop: draw, sample and judge, credit, step, publish, record.

`loop_sync` is the algorithm box; every line of it calls a pure function or has one effect.  The
asynchronous loop will be a second file over the same hops, not flags in this one.

Nothing is lost: a step's draws are in the ledger before anything is sampled, its rollouts before
anything is trained on.  A resumed run trains on the recorded rollouts and samples only what is
missing, so on one machine, with one number of workers, it reaches the same weights bit for bit.
"""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from proofloop.core import codec
from proofloop.core.completion import PolicyVersion
from proofloop.core.errors import TrainingHalted
from proofloop.core.record import Record
from proofloop.core.task import Environment, Split
from proofloop.store import Draw, Phase, RunStore, checkpoints
from proofloop.train.advantages import AdvantageRule, Credits
from proofloop.train.alarms import alarms_of
from proofloop.train.config import AlarmsConfig, FeedbackArm, FeedbackConfig
from proofloop.train.crew import Assignment, Attempted, Crew
from proofloop.train.curriculum import (
    CurriculumState,
    DrawnTask,
    TaskPool,
    draw_tasks,
    initial_state,
    observe,
)
from proofloop.train.distil import Teacher, credit_of
from proofloop.train.evaluation import EvalReport, attempt_all, heldout_assignments
from proofloop.train.metrics import Learned, step_metrics
from proofloop.train.optimiser import NO_UPDATE, Optimiser
from proofloop.train.samples import bundles_of, sample_of
from proofloop.train.trainer import GradientStats, check_logprob_gap
from proofloop.train.tripwires import draw_tripwires, training, tripwire_problem


class LoopConfig(Record):
    """What the loop needs of a recipe's sections `train` and `eval`."""

    num_steps: int
    seed: int
    tasks_per_step: int
    samples_per_task: int
    updates_per_step: int
    checkpoint_every: int
    max_logprob_gap: float
    eval_every: int
    eval_num_tasks: int
    eval_num_samples: int
    final_num_tasks: int
    final_num_samples: int
    advantages: AdvantageRule = AdvantageRule()
    tripwire_share: float = 0.0
    alarms: AlarmsConfig = AlarmsConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    eval_attempts: int = 1
    eval_seed: int = 0
    eval_later_seed: int | None = None


class LoopState(Record):
    """Where the loop stands after a step; with the optimiser's state, all that a resume needs."""

    step: int
    curriculum: CurriculumState


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a run is made of, built by `runs.training`."""

    config: LoopConfig
    environment: Environment
    crew: Crew
    optimiser: Optimiser
    weights_sha256: Callable[[], str]
    store: RunStore
    directory: Path
    teacher: Teacher | None = None
    """Where the policy is to teach itself."""
    only: TaskPool | None = None
    """Where training is limited to a few tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """An optimiser step is done and recorded."""

    step: int
    num_steps: int
    metrics: Mapping[str, float]
    alarms: tuple[str, ...]
    """Those that this step raised, a line each."""


Report = StepReport | EvalReport


def loop_sync(parts: Parts, state: LoopState) -> Iterator[Report]:
    """Trains from `state` to the last step.  Between two yields the run may be stopped.

    Raises TrainingHalted, at a checkpoint, where an alarm is to stop it.
    """
    config = parts.config
    yield from evaluate(parts, state.step)
    while state.step < config.num_steps:
        began = time.perf_counter()
        step = state.step + 1
        drawn, curriculum = draw_tasks(
            state.curriculum,
            parts.environment,
            num_tasks=config.tasks_per_step,
            seed=config.seed,
            step=step,
            only=parts.only,
        )
        attempted = sample_and_judge(parts, step, drawn)
        learnt_from = training(attempted.groups)
        credits = credit_of(learnt_from, config.advantages, parts.teacher, parts.crew)
        learned = learn(parts, credits)
        version = publish(parts, step)
        metrics = step_metrics(attempted, credits, learned, began)
        parts.store.record_step(
            step, metrics=metrics, weights_sha256=version.sha256, wall_s=metrics["step_s"]
        )
        seen = [(g.task.stratum, g.group) for g in learnt_from]
        state = LoopState(step=step, curriculum=observe(curriculum, seen))
        alarms = note_alarms(parts, step, attempted)
        halted = bool(alarms) and config.alarms.stop
        if halted or step % config.checkpoint_every == 0 or step == config.num_steps:
            save_checkpoint(parts, state)
        if halted:
            raise TrainingHalted(alarms[0])
        yield StepReport(step=step, num_steps=config.num_steps, metrics=metrics, alarms=alarms)
        yield from evaluate(parts, step)


def sample_and_judge(parts: Parts, step: int, drawn: tuple[DrawnTask, ...]) -> Attempted:
    """The step's groups, from the record where a killed run left them there."""
    draws = ledger(parts, step, drawn)
    parts.store.record_draws(Phase.TRAIN, step, draws)
    if parts.store.rollouts_recorded(Phase.TRAIN, step):
        recorded = tuple(parts.store.load_groups(Phase.TRAIN, step))
        return Attempted(groups=recorded, sample_s=float("nan"), verify_s=float("nan"))
    feedback = parts.config.feedback
    retries = feedback.arm is FeedbackArm.RETRY
    attempted = parts.crew.attempt(
        [
            Assignment(
                phase=Phase.TRAIN,
                step=step,
                slot=draw.slot,
                split=Split.TRAIN,
                stratum=draw.stratum,
                index=draw.index,
                num_samples=parts.config.samples_per_task,
                tripwire=draw.tripwire,
                num_attempts=feedback.attempts if retries and not draw.tripwire else 1,
                with_feedback=feedback.arm is FeedbackArm.DISTIL and not draw.tripwire,
            )
            for draw in draws
        ]
    )
    parts.store.record_rollouts(Phase.TRAIN, step, attempted.groups)
    return attempted


def ledger(parts: Parts, step: int, drawn: tuple[DrawnTask, ...]) -> list[Draw]:
    """The step's entries in the ledger: what trains, then the impossible tasks beside it."""
    environment, seed = parts.environment, parts.config.seed
    share = parts.config.tripwire_share
    wires = draw_tripwires(drawn, environment, share=share, seed=seed, step=step)
    asked = [environment.problem(Split.TRAIN, d.stratum, d.index) for d in drawn]
    for d in wires:
        problem = tripwire_problem(environment, Split.TRAIN, d.stratum, d.index, seed=seed)
        assert problem is not None, "drawn because there is one"
        asked.append(problem)
    return [
        Draw(
            slot=slot,
            task_id=problem.task.id,
            stratum=d.stratum,
            index=d.index,
            tripwire=slot >= len(drawn),
        )
        for slot, (d, problem) in enumerate(zip((*drawn, *wires), asked, strict=True))
    ]


def note_alarms(parts: Parts, step: int, attempted: Attempted) -> tuple[str, ...]:
    """Notes the alarms of a recorded step, and gives those that are new: a run resumed over a step
    knows them already, and is not to stop for them again."""
    config, store = parts.config.alarms, parts.store
    alarms = alarms_of(
        config,
        step=step,
        groups=attempted.groups,
        tripped=store.load_tripped(step),
        num_tripped=store.num_tripped(step),
        unscored_shares=[v for s, v in store.metrics("unscored_share") if s <= step],
        gaps=[v for s, v in store.metrics("visible_hidden_gap") if s <= step],
        run=store.directory,
    )
    if config.stop:
        go_on = f"proofloop train --resume {shlex.quote(str(store.directory))}"
        alarms = [f"{alarm}. Stopped by alarms.stop; `{go_on}` goes on" for alarm in alarms]
    return tuple(alarm for alarm in alarms if store.event_once("alarm", alarm))


def learn(parts: Parts, credits: Credits, *, own: bool = True) -> Learned:
    """One or more updates from a step's groups; none where no group has variance.

    Each gradient comes in two halves of different tasks, by which the optimiser tells its signal.
    `own`: the weights in hand sampled the groups, so that sampler and trainer must agree.

    Raises TrainingHalted where sampler and trainer disagree about what was sampled.
    """
    began = time.perf_counter()
    total, update = GradientStats(), NO_UPDATE
    num_updates = min(parts.config.updates_per_step, len(credits.groups))
    for i in range(num_updates):
        samples = [[sample_of(c) for c in g] for g in credits.groups[i::num_updates]]
        num_tokens = sum(s.num_trained_tokens for group in samples for s in group)
        halves: list[Tensor] = []
        stats = GradientStats()
        for half in (samples[::2], samples[1::2]):
            bundles = [b for group in half for b in bundles_of(group)]
            gradient, half_stats = parts.crew.gradient(bundles, num_tokens)
            halves.append(gradient)
            stats += half_stats
        assert stats.num_tokens == num_tokens, "every sampled token trains, once"
        if own and i == 0:
            check_logprob_gap(stats, parts.config.max_logprob_gap)
        update = parts.optimiser.update(*halves)
        total += stats
    return Learned(stats=total, update=update, train_s=time.perf_counter() - began)


def publish(parts: Parts, step: int) -> PolicyVersion:
    """Raises TrainingHalted where an engine reports other weights than were sent."""
    sent = PolicyVersion(step=step, sha256=parts.weights_sha256())
    for reported in parts.crew.publish(step):
        if reported != sent:
            raise TrainingHalted(
                f"step {step}: an engine reports weights {reported.sha256[:12]} of step "
                f"{reported.step}, the trainer sent {sent.sha256[:12]}; resume the run"
            )
    return sent


def save_checkpoint(parts: Parts, state: LoopState) -> None:
    files = {"trainer.safetensors": parts.optimiser.state(), "loop.json": codec.to_json(state)}
    checkpoints.save(parts.directory, state.step, files, keep=2)


def load_state(parts: Parts) -> LoopState:
    """The newest whole checkpoint, restored; the beginning where there is none.  A damaged one
    is passed over, and the run's events say so."""
    found = checkpoints.latest(parts.directory)
    for problem in found.problems:
        parts.store.event("checkpoint_damaged", f"{problem.path}: {problem.problem}")
    if found.checkpoint is None:
        return LoopState(step=0, curriculum=initial_state(parts.environment, parts.only))
    files = checkpoints.load(found.checkpoint)
    parts.optimiser.restore(files["trainer.safetensors"])
    return codec.from_json(files["loop.json"], LoopState)


def evaluate(parts: Parts, step: int) -> Iterator[EvalReport]:
    """Attempts at held-out tasks, where the recipe asks for them at this step and the store has
    not all of them; the same tasks and, unless the recipe has others for those after the base's,
    the same seeds at every step, so that comparisons are paired."""
    config = parts.config
    whole = step in (0, config.num_steps)
    due = whole or (config.eval_every and step % config.eval_every == 0)
    known = parts.store.evaluation(step)
    if not due or (known is not None and known.ended is not None):
        return
    num_tasks = config.final_num_tasks if whole else config.eval_num_tasks
    num_samples = config.final_num_samples if whole else config.eval_num_samples
    seed = config.eval_seed if step == 0 else config.eval_later_seed
    assignments = heldout_assignments(
        parts.environment,
        num_tasks,
        num_samples,
        step=step,
        num_attempts=config.eval_attempts,
        chances=config.eval_seed if seed is None else seed,
    )
    yield from attempt_all(parts.crew, parts.store, parts.environment, assignments)
