"""Many at once, by threads and by processes: results in order, none lost with a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proofloop.core.task import Split
from proofloop.core.verdict import Verdict, reward_of
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.runs import benches
from proofloop.runs.benches import Bench, at_benches
from proofloop.runs.environments import iter_problems
from proofloop.runs.verification import Attempt, judge
from proofloop.sandbox.descendants import descendants


def attempts(num: int) -> list[Attempt]:
    """Right and wrong by turns."""
    problems = iter_problems(FunctionsEnvironment(complexity=(1,)), Split.TRAIN, num)
    return [Attempt(p, p.oracle if i % 2 else "") for i, p in enumerate(problems) if p.oracle]


def rewards(verdicts: list[Verdict]) -> list[float | None]:
    return [reward_of(verdict) for verdict in verdicts]


def test_processes_say_what_threads_say(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = attempts(30)
    by_threads = list(judge(tried, tier=None, workers=2))
    monkeypatch.setattr(benches, "ITEMS_FOR_PROCESSES", 1)
    by_processes = list(judge(tried, tier=None, workers=2))
    assert rewards(by_processes) == [float(i % 2) for i in range(30)]
    assert by_processes == by_threads


def double(bench: Bench, item: tuple[int, str]) -> int:
    """Twice the number; the process that is given the mark dies of it, once."""
    number, mark = item
    if mark and os.path.exists(mark):
        os.unlink(mark)
        os._exit(1)
    return 2 * number


def test_a_process_that_dies_takes_no_result_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benches, "ITEMS_FOR_PROCESSES", 1)
    mark = tmp_path / "mark"
    mark.touch()
    items = [(i, str(mark) if i == 25 else "") for i in range(60)]
    assert list(at_benches(double, items, tier=None, workers=2)) == [2 * i for i in range(60)]
    assert not mark.exists()


_JUDGES = """
import sys
from proofloop.runs import benches
benches.ITEMS_FOR_PROCESSES = 1
from test_benches import attempts, judge
if __name__ == "__main__":
    for verdict in judge(attempts(4000), tier=None, workers=2):
        print(verdict.cause, flush=True)
"""


def test_processes_die_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "judges.py"
    script.write_text(_JUDGES)
    source = Path(benches.__file__).parents[2]
    paths = os.pathsep.join((str(source), str(Path(__file__).parent)))
    judging = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    )
    assert judging.stdout is not None
    judging.stdout.readline()
    below = descendants(judging.pid)
    assert len(below) >= 4  # two processes, each with a server
    os.kill(judging.pid, signal.SIGKILL)
    judging.wait()
    judging.stdout.close()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in below):
        assert time.monotonic() < deadline
        time.sleep(0.05)
