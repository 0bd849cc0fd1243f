"""The soak of `bench/soak.py`, shorter: nothing is left behind, no verdict is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import places

_SOAK = Path(__file__).parents[2] / "bench" / "soak.py"


def test_two_thousand_verdicts_leave_nothing_behind() -> None:
    command = [sys.executable, str(_SOAK), "--verifications", "2000", "--json"]
    done = subprocess.run(
        [*command, "--tier", _best()],
        env=places.environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["verifications"] == 2000
    assert found["wrong"] == []
    assert found["left"] == []
    assert done.returncode == 0


def _best() -> str:
    from proofloop.sandbox import open_sandbox

    with open_sandbox() as sandbox:
        return sandbox.tier
