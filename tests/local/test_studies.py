"""The studies run to their end, as short as can be, and leave their figures and tables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "examples" / "studies"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["feedback"])
def test_a_study_runs_to_its_end(name: str, tmp_path: Path) -> None:
    where = ["--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")]
    done = subprocess.run(
        [sys.executable, str(STUDIES / f"{name}.py"), "--smoke", "--seeds", "1", *where],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| --- |" in done.stdout
    for folder in ("out", "docs"):
        assert (tmp_path / folder / f"{name}.svg").read_text().startswith("<svg")
        assert len((tmp_path / folder / f"{name}.csv").read_text().splitlines()) > 2
