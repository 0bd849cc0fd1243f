"""Every study runs from its beginning to its end and leaves its figures, each with its numbers."""

import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "examples" / "studies"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("exposure", ("exposure", "exposure-2", "exposure-3")),
        ("feedback", ("feedback",)),
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
