"""Trackers: every step once, over stops too; one that fails ends nothing.

The tools themselves are no dependency: each is tried where it is installed.
"""

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from proofloop.core.errors import ConfigError
from proofloop.runs.checks import load_recipe
from proofloop.runs.recipe import TrackerKind
from proofloop.runs.trackers import feed as feeds
from proofloop.runs.trackers.feed import STATE_NAME, open_feed
from proofloop.runs.trackers.tracker import Place
from proofloop.store import RunStore

TOOLS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


class Notebook:
    """A tracker that keeps what it is told in a file, and fails when asked to."""

    told: list[tuple[int, Mapping[str, float]]]
    fails = False
    places: ClassVar[list[Place]] = []
    last: ClassVar["Notebook"]

    def __init__(self, place: Place) -> None:
        self.id = place.id or "first"
        self.told = []
        Notebook.places.append(place)
        Notebook.last = self

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if Notebook.fails:
            raise OSError("no space left")
        self.told.append((step, values))

    def close(self) -> None:
        self.told.append((-1, {}))


@pytest.fixture(name="notebook")
def _notebook(monkeypatch: pytest.MonkeyPatch) -> type[Notebook]:
    module = ModuleType("proofloop.runs.trackers.notebook")
    module.Notebook = Notebook  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(feeds._CLASSES, TrackerKind.TRACKIO, ("notebook", "Notebook"))
    Notebook.fails, Notebook.places = False, []
    return Notebook


def record(store: RunStore, step: int) -> None:
    metrics = {"reward_mean": step / 10, "verify_s": float("nan")}
    store.record_step(step, metrics=metrics, weights_sha256="0" * 64, wall_s=1.0)


RECIPE = load_recipe("quickstart", ("tracker.kind=trackio", "tracker.project=p"))


def test_every_step_is_told_once_over_stops(notebook: type[Notebook], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with RunStore.create(directory) as store:
        record(store, 1)
        feed = open_feed(RECIPE, store)
        feed.catch_up()
        record(store, 2)
        feed.catch_up()
        feed.catch_up()
        assert notebook.last.told == [
            (1, {"train/reward_mean": 0.1}),
            (2, {"train/reward_mean": 0.2}),
        ]
        record(store, 3)  # recorded, then the process is killed before it is told
    with RunStore.open(directory) as store:
        feed = open_feed(RECIPE, store)
        record(store, 4)
        feed.close()
    assert notebook.last.told == [
        (3, {"train/reward_mean": pytest.approx(0.3)}),
        (4, {"train/reward_mean": 0.4}),
        (-1, {}),
    ]
    first, second = notebook.places
    assert (first.id, second.id) == ("", "first")
    assert (first.project, first.name) == ("p", "run")
    assert first.settings["train.num_steps"] == RECIPE.train.num_steps


def test_a_tracker_that_fails_is_left_alone_and_told_later(
    notebook: type[Notebook], tmp_path: Path
) -> None:
    with RunStore.create(tmp_path / "run") as store:
        feed = open_feed(RECIPE, store)
        record(store, 1)
        notebook.fails = True
        feed.catch_up()
        record(store, 2)
        feed.close()
        (event,) = [e for e in store.events() if e.kind == "tracker"]
        assert event.message == "trackio failed: no space left; left alone"
        notebook.fails = False
        open_feed(RECIPE, store).close()
        assert [step for step, _ in notebook.last.told] == [1, 2, -1]


def test_another_tool_is_told_everything(notebook: type[Notebook], tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run") as store:
        record(store, 1)
        other = {"kind": "wandb", "id": "w", "step": 1, "evaluation": 0}
        (tmp_path / "run" / STATE_NAME).write_text(json.dumps(other))
        open_feed(RECIPE, store).close()
        assert [step for step, _ in notebook.last.told] == [1, -1]


@pytest.mark.parametrize("kind", TOOLS)
def test_a_tool_that_is_not_there_is_one_line(kind: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(TOOLS[kind]) is not None:
        pytest.skip(f"{kind} is installed here")
    recipe = load_recipe("quickstart", (f"tracker.kind={kind}",))
    with (
        RunStore.create(tmp_path / "run") as store,
        pytest.raises(ConfigError, match=rf"tracker\.kind: {kind} needs .*pip install {kind}"),
    ):
        open_feed(recipe, store)


_REAL = """
import sys
from pathlib import Path
from proofloop.runs.checks import load_recipe
from proofloop.runs.trackers.feed import open_feed
from proofloop.store import RunStore
directory, kind = Path(sys.argv[1]), sys.argv[2]
recipe = load_recipe("quickstart", (f"tracker.kind={kind}",))
for first in (1, 3):
    with (RunStore.create if first == 1 else RunStore.open)(directory) as store:
        feed = open_feed(recipe, store)
        for step in (first, first + 1):
            store.record_step(
                step, metrics={"reward_mean": step / 10}, weights_sha256="0" * 64, wall_s=1.0
            )
            feed.catch_up()
        feed.close()
        assert not [e for e in store.events() if e.kind == "tracker"], store.events()
"""


def _read_tensorboard(directory: Path) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory / "tensorboard")).Reload()
    return [(e.step, e.value) for e in found.Scalars("train/reward_mean")]


def _read_mlflow(directory: Path) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{directory}/mlflow.db")
    run_id = json.loads((directory / STATE_NAME).read_text())["id"]
    history = client.get_metric_history(run_id, "train/reward_mean")
    return [(m.step, m.value) for m in history]


_READERS: dict[str, Any] = {"tensorboard": _read_tensorboard, "mlflow": _read_mlflow}


@pytest.mark.parametrize("kind", TOOLS)
def test_the_real_tool_takes_a_run_and_its_resumption(kind: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(TOOLS[kind]) is None:
        pytest.skip(f"{kind} is not installed")
    environment = os.environ | {
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _REAL, str(tmp_path / "run"), kind],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    state = json.loads((tmp_path / "run" / STATE_NAME).read_text())
    assert (state["kind"], state["step"]) == (kind, 4)
    if kind in _READERS:
        with warnings.catch_warnings(action="ignore"):  # of the tool's own libraries
            assert [s for s, _ in _READERS[kind](tmp_path / "run")] == [1, 2, 3, 4]
    if kind == "wandb":
        assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 2
    if kind == "trackio":
        assert list((tmp_path / "trackio").rglob("*.db"))
