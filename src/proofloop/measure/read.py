"""From a run directory to `ReportData`: the only file here that knows how a run is stored."""

import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proofloop.core.errors import RunError
from proofloop.core.task import Stratum
from proofloop.measure.arms import arms_of, num_train_tasks
from proofloop.measure.data import Example, ReportData, Series, Tripped
from proofloop.measure.outcomes import Attempt, Outcomes
from proofloop.measure.text import WIRE_SAYS
from proofloop.measure.trajectory import turns_of
from proofloop.store import Phase, RolloutRow, RunReader, RunStore

NUM_EXAMPLES = 5


def read_run(run_dir: Path) -> ReportData:
    """Raises RunError where there is no run, or not a readable one; a writer may be at work."""
    with RunStore.read(run_dir) as store:
        return read_report_data(store)


def read_report_data(store: RunReader) -> ReportData:
    """Whatever the run has recorded so far."""
    config_text, config = _config(store.directory)
    # `proofloop eval` records a run of no steps: nothing was planned.
    planned = config.get("train", {}).get("num_steps") or None
    evaluations = store.recorded_steps(Phase.EVAL)
    later = [step for step in evaluations if step > 0]
    # An evaluation on the way has fewer samples: only that of the last step is the result.
    final = planned if planned in later else None if planned is not None else max(later, default=0)
    train_rows = list(store.iter_rollouts(phase=Phase.TRAIN))
    return ReportData(
        name=store.directory.resolve().name,
        env=str(config.get("env", {}).get("name", "")),
        arms=arms_of(config),
        num_train_tasks=num_train_tasks(config),
        beside=str(config.get("control", {}).get("of", "")),
        num_steps_planned=planned,
        num_steps_done=store.last_step() or 0,
        metrics={name: _series(store.metrics(name)) for name in store.metric_names()}
        | {"pass_share_heldout": _heldout(store, evaluations)},
        base=_outcomes(store, 0) if 0 in evaluations else None,
        stopped_early=_stopped_early(store),
        trained=_outcomes(store, final) if final else None,
        causes=_causes([row for row in train_rows if not row.tripwire]),
        num_rollouts=len(train_rows),
        num_unscored=sum(row.verdict == "unscored" for row in train_rows),
        num_tripwire_rollouts=sum(row.tripwire for row in train_rows),
        tripped=tuple(
            Tripped(
                rollout_id=row.rollout_id,
                task_id=row.task_id,
                step=row.step,
                says=WIRE_SAYS[row.wire],
                answer=row.answer,
            )
            for row in store.load_tripped()
        ),
        examples=_examples(store, final or max(later, default=0), train_rows),
        events=tuple(f"{event.kind}: {event.message}" for event in store.events()),
        config=config_text,
        manifest=_manifest(store.directory),
    )


def _stopped_early(store: RunReader) -> str | None:
    state = store.evaluation(0)
    if state is None or state.ended in (None, "all tasks"):
        return None
    return state.ended


def _config(directory: Path) -> tuple[str, dict[str, Any]]:
    path = directory / "config.toml"
    if not path.is_file():
        return "", {}
    try:
        text = path.read_text()
        return text, tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(
            f"{path}: not readable as TOML ({error}); it is written when a run starts, copy it "
            "back from a backup or move it away to report without it"
        ) from error


def _manifest(directory: Path) -> str:
    path = directory / "manifest.json"
    if not path.is_file():
        return ""
    text = path.read_text(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return text


def _series(values: Iterable[tuple[int, float]]) -> Series:
    """A step where there was nothing to measure has no point."""
    known = [(step, value) for step, value in values if math.isfinite(value)]
    return Series(steps=tuple(s for s, _ in known), values=tuple(v for _, v in known))


def _heldout(store: RunReader, steps: list[int]) -> Series:
    """Held-out pass@1 at every evaluation, over the tasks that all of them attempted."""
    shares = [_pass_shares(store, step) for step in steps]
    common = set(shares[0]).intersection(*shares[1:]) if shares else set[str]()
    if not common:
        return Series(steps=(), values=())
    means = tuple(sum(share[task] for task in common) / len(common) for share in shares)
    return Series(steps=tuple(steps), values=means)


def _pass_shares(store: RunReader, step: int) -> dict[str, float]:
    outcomes = _outcomes(store, step)
    return {
        task: passed / num
        for task, passed, num in zip(
            outcomes.task_ids, outcomes.num_passed, outcomes.num_samples, strict=True
        )
        if num
    }


def _outcomes(store: RunReader, step: int) -> Outcomes:
    return Outcomes.from_attempts(
        Attempt(
            task_id=row.task_id,
            stratum=Stratum(family=row.family, complexity=row.complexity, horizon=row.horizon),
            passed=row.passed,
        )
        for row in store.iter_rollouts(phase=Phase.EVAL, step=step)
    )


def _causes(rows: list[RolloutRow]) -> dict[str, Series]:
    counts = Counter((_cause(row), row.step) for row in rows)
    steps = tuple(sorted({row.step for row in rows}))
    return {
        cause: Series(steps=steps, values=tuple(float(counts[cause, step]) for step in steps))
        for cause in sorted({cause for cause, _ in counts})
    }


def _cause(row: RolloutRow) -> str:
    return row.cause if row.verdict == "scored" else f"unscored, {row.cause}"


def _examples(store: RunReader, eval_step: int, train: list[RolloutRow]) -> tuple[Example, ...]:
    """Of the latest step there is, one rollout of each cause first, then more, from tasks apart.

    The first of each cause in the order of the record: nobody chose what looks good.
    """
    rows = list(store.iter_rollouts(phase=Phase.EVAL, step=eval_step))
    if not eval_step and train:
        rows = [row for row in train if row.step == train[-1].step]
    chosen: list[RolloutRow] = []
    for fresh_cause in (True, False):
        for row in rows:
            alike = any(
                row.task_id == c.task_id or (fresh_cause and _cause(row) == _cause(c))
                for c in chosen
            )
            if len(chosen) < NUM_EXAMPLES and not alike:
                chosen.append(row)
    return tuple(_example(store, row) for row in chosen)


def _example(store: RunReader, row: RolloutRow) -> Example:
    recorded = store.load_rollout(row.id)
    messages = recorded.task.messages
    return Example(
        rollout_id=row.id,
        task_id=row.task_id,
        phase=row.phase,
        step=row.step,
        prompt="\n\n".join(m.content for m in messages) + recorded.task.answer_prefix,
        answer=recorded.judged.rollout.answer,
        cause=_cause(row),
        passed=row.passed,
        reward=row.reward,
        detail=row.detail,
        tier=row.tier,
        turns=() if recorded.judged.trajectory is None else turns_of(recorded.judged.trajectory),
    )
