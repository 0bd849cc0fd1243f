"""Every study runs from its beginning to its end and leaves its figures, each with its numbers."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from proofloop.runs.checks import load_recipe
from proofloop.runs.config import dump_toml

STUDIES = Path(__file__).parents[2] / "examples" / "studies"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("exposure", ("exposure", "exposure-2", "exposure-3")),
        ("feedback", ("feedback",)),
        ("minirepos", ("minirepos",)),
        ("nines", ("nines", "nines-gain")),
        ("one_example", ("one-example", "one-example-curves")),
        ("placebo", ("placebo",)),
        ("scaling", ("scaling-sizes", "scaling-32x3", "scaling-64x2", "scaling-64x3")),
        ("surface", ("surface",)),
        ("takeoff", ("takeoff", "takeoff-curves")),
    ],
)
def test_a_study_runs_to_its_end(name: str, figures: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, str(STUDIES / f"{name}.py"), "--smoke", "--seeds", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| --- |" in done.stdout  # its table
    for figure in figures:
        assert (tmp_path / "docs" / f"{figure}.svg").read_text().startswith("<svg")
        assert len((tmp_path / "docs" / f"{figure}.csv").read_text().splitlines()) > 1


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    return importlib.import_module("study")


def test_a_run_of_other_settings_is_not_taken_for_what_is_asked(
    shared: ModuleType, tmp_path: Path
) -> None:
    """Neither a finished run nor a base: what lies in the directory was asked for otherwise."""
    here = shared.study("any", "Any study.", ["--out", str(tmp_path)])
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.db").touch()
    (run / "model").mkdir()
    asked = load_recipe("quickstart", ("train.num_steps=7", "train.workers=4"))
    (run / "config.toml").write_text(dump_toml(asked))
    assert here.train("run", "train.num_steps=7") == run
    with pytest.raises(SystemExit, match="of other settings than these"):
        here.train("run", "train.num_steps=8")
    with pytest.raises(SystemExit, match="of other settings than these"):
        here.evaluate("run", "pico", "eval.final_num_tasks=8")
    base = tmp_path / "base"
    base.mkdir()
    (base / "recipe.json").write_text("{}")
    (base / "finished").touch()
    with pytest.raises(SystemExit, match="of other settings than these"):
        here.base("base", "pretrain-atoms")
