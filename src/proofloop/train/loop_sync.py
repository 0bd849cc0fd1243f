"""The synchronous loop: draw, sample and judge, credit, step, publish, record.

`loop_sync` is the algorithm box; every line of it calls a pure function or has one effect.  The
asynchronous loop will be a second file over the same hops, not flags in this one.

Nothing is lost: a step's draws are in the ledger before anything is sampled, its rollouts before
anything is trained on.  A resumed run trains on the recorded rollouts and samples only what is
missing, so on one machine, with one number of workers, it reaches the same weights bit for bit.
"""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from proofloop.core import codec
from proofloop.core.completion import PolicyVersion
from proofloop.core.errors import TrainingHalted
from proofloop.core.rollout import RolloutId
from proofloop.store import RecordedGroup, checkpoints
from proofloop.train.advantages import Credits
from proofloop.train.aggregation import weigh
from proofloop.train.alarms import alarms_of
from proofloop.train.batches import penalties_of, prepare, with_gradient
from proofloop.train.crew import Attempted
from proofloop.train.curriculum import initial_state, retired_tasks
from proofloop.train.distil import credit_of
from proofloop.train.evaluation import EvalReport, attempt_all, heldout_assignments
from proofloop.train.metrics import Learned, step_metrics
from proofloop.train.optimiser import NO_UPDATE
from proofloop.train.packing import packs
from proofloop.train.parts import LoopState, Parts
from proofloop.train.rounds import sample_and_judge, seen
from proofloop.train.samples import bundles_of
from proofloop.train.teaching import taught
from proofloop.train.trainer import GradientStats, check_logprob_gap
from proofloop.train.trends import METRICS, trend_alarms
from proofloop.train.tripwires import training
from proofloop.train.turn_credit import by_turn
from proofloop.train.values import valued


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
        attempted, curriculum = sample_and_judge(parts, step, state.curriculum)
        learnt_from = training(attempted.groups)
        penalties = penalties_of(config, parts.crew, learnt_from)
        credits = credits_of(parts, learnt_from, penalties)
        learned = learn(parts, credits)
        version = publish(parts, step)
        retired = retired_tasks(state.curriculum, config.max_pass_rate)
        metrics = step_metrics(attempted, credits, penalties, learned, began, len(retired))
        parts.store.record_step(
            step, metrics=metrics, weights_sha256=version.sha256, wall_s=metrics["step_s"]
        )
        state = LoopState(step=step, curriculum=seen(parts, step, curriculum, learnt_from))
        alarms = note_alarms(parts, step, attempted)
        halted = bool(alarms) and config.alarms.stop
        if halted or step % config.checkpoint_every == 0 or step == config.num_steps:
            save_checkpoint(parts, state)
        if halted:
            raise TrainingHalted(alarms[0])
        yield StepReport(step=step, num_steps=config.num_steps, metrics=metrics, alarms=alarms)
        yield from evaluate(parts, step)


def credits_of(
    parts: Parts, groups: Sequence[RecordedGroup], penalties: Mapping[RolloutId, float]
) -> Credits:
    """By the rewards (and a value head's expectations of them) or, where there is one, by the
    teacher."""
    config = parts.config
    if config.has_teacher:
        return taught(parts.crew, groups, config.temperature)
    credits = credit_of(groups, config.advantages, parts.teacher, parts.crew, penalties)
    if config.objective.has_values:
        return valued(parts.crew, credits, config.gae)
    return by_turn(credits, [g.group for g in groups], config.advantages, config.turns)


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
    history = {name: [v for s, v in store.metrics(name) if s <= step] for name in METRICS}
    alarms += trend_alarms(config, step=step, history=history, run=store.directory)
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
    config = parts.config
    batch = prepare(config, parts.crew, credits, own=own)
    total, update, denominator = GradientStats(), NO_UPDATE, 0
    num_updates = min(config.updates_per_step, len(batch.groups))
    for i in range(num_updates):
        mine = batch.groups[i::num_updates]
        weighed = weigh(mine, config.objective.aggregation, max_tokens=config.max_tokens)
        groups = with_gradient(weighed.groups, config.objective)
        if not groups:
            continue
        halves: list[Tensor] = []
        stats = GradientStats()
        for half in (groups[::2], groups[1::2]):
            bundles = [b for group in half for b in bundles_of(group, padded=not packs())]
            gradient, half_stats = parts.crew.gradient(bundles, weighed.denominator)
            halves.append(gradient)
            stats += half_stats
        num_tokens = sum(s.num_trained_tokens for group in groups for s in group)
        assert stats.num_tokens == num_tokens, "every sampled token trains, once"
        if own and not total.num_tokens:  # before the first update
            check_logprob_gap(stats, config.max_logprob_gap)
        update = parts.optimiser.update(*halves)
        total += stats
        denominator += weighed.denominator
    return Learned(
        stats=total,
        denominator=denominator,
        objective=config.objective,
        correction=batch.correction,
        update=update,
        train_s=time.perf_counter() - began,
    )


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
