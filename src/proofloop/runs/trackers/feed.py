"""From the record to a tracker: each step's numbers once, in order, also over stops.

`tracker.json` in the run directory says how far the tracker is.  What it misses, because it failed
or the run was killed, it gets the next time.  One that fails is left alone: training goes on.
"""

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core import codec
from proofloop.core.errors import ConfigError
from proofloop.core.record import Record
from proofloop.runs.recipe import Recipe, TrackerKind
from proofloop.runs.trackers.tracker import Place, Tracker
from proofloop.store import Phase, RunStore
from proofloop.store.files import write_atomic

STATE_NAME = "tracker.json"
_CLASSES = {
    TrackerKind.TENSORBOARD: ("tensorboard", "TensorBoard"),
    TrackerKind.WANDB: ("wandb", "WeightsAndBiases"),
    TrackerKind.MLFLOW: ("mlflow", "MLflow"),
    TrackerKind.TRACKIO: ("trackio", "Trackio"),
}


class _State(Record):
    """How far a tracker is."""

    kind: TrackerKind
    id: str
    step: int = 0
    """The last one of training that it has."""
    evaluation: int = -1
    """The step of the last evaluation that it has."""


class Feed:
    """Keeps one tracker up with one run's store."""

    def __init__(self, tracker: Tracker | None, store: RunStore, state: _State) -> None:
        """Without a tracker there is nothing to do."""
        self._tracker = tracker
        self._store = store
        self._state = state

    def catch_up(self) -> None:
        """Everything that is recorded and was not told."""
        with self._suffering() as tracker:
            if tracker is not None:
                for step, values in self._missing():
                    tracker.log(step, values)
                self._save()

    def close(self) -> None:
        self.catch_up()
        with self._suffering() as tracker:
            if tracker is not None:
                tracker.close()
        self._tracker = None

    @contextmanager
    def _suffering(self) -> Generator[Tracker | None]:
        """Whatever another tool does, the run is not to end for it."""
        try:
            yield self._tracker
        except Exception as error:
            self._store.event_once("tracker", f"{self._state.kind} failed: {error}; left alone")
            self._tracker = None

    def _missing(self) -> Iterator[tuple[int, Mapping[str, float]]]:
        store, state = self._store, self._state
        evaluations = {
            step: evaluation.ended is not None
            for step in store.recorded_steps(Phase.EVAL)
            if (evaluation := store.evaluation(step)) is not None
        }
        for step in sorted({*store.completed_steps(), *evaluations}):
            values: dict[str, float] = {}
            if step > self._state.step:
                known = {name: dict(store.metrics(name)) for name in store.metric_names()}
                values |= {f"train/{n}": by[step] for n, by in known.items() if step in by}
            if step > self._state.evaluation and evaluations.get(step):
                counts = store.pass_counts(Phase.EVAL, step)
                if num_scored := sum(c.num_scored for c in counts):
                    values["eval/pass_at_1"] = sum(c.num_passed for c in counts) / num_scored
                self._state = state = msgspec.structs.replace(state, evaluation=step)
            if step > self._state.step:
                self._state = state = msgspec.structs.replace(state, step=step)
            values = {name: value for name, value in values.items() if math.isfinite(value)}
            if values:
                yield step, values

    def _save(self) -> None:
        write_atomic(self._store.directory / STATE_NAME, codec.to_json(self._state))


def open_feed(recipe: Recipe, store: RunStore) -> Feed:
    """Raises ConfigError where the tool is not there."""
    kind = recipe.tracker.kind
    if kind is TrackerKind.NONE:
        return Feed(None, store, _State(kind=kind, id=""))
    module, name = _CLASSES[kind]
    try:
        adapter = getattr(import_module(f"proofloop.runs.trackers.{module}"), name)
    except ImportError as error:
        raise ConfigError(
            f"tracker.kind: {kind} needs the package {error.name}; `pip install {module}`"
        ) from error
    state = _load(store.directory, kind)
    tracker: Tracker = adapter(
        Place(
            directory=store.directory.absolute(),
            project=recipe.tracker.project,
            name=recipe.tracker.name or store.directory.name,
            settings=dict(_flat(msgspec.to_builtins(recipe))),
            id=state.id,
        )
    )
    return Feed(tracker, store, msgspec.structs.replace(state, id=tracker.id or "-"))


def _load(directory: Path, kind: TrackerKind) -> _State:
    """A tracker of another kind begins anew, and is told everything."""
    path = directory / STATE_NAME
    if path.exists():
        state = codec.from_json(path.read_bytes(), _State)
        if state.kind is kind:
            return state
    return _State(kind=kind, id="")


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif value is not None:
        plain = isinstance(value, str | int | float | bool)
        yield path, value if plain else str(value)
