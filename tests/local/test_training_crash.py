"""Kill -9 of a training run at random instants, from its start to its last file: nothing is lost.

After every kill no process of the run is left; after the last resume, weights, ledger, rollouts
and verdicts are those of the run that nobody killed, bit for bit.  `pytest -s` shows the kills.
"""

import ctypes
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_runs import remember, tiny_recipe

from proofloop.runs.config import dump_toml
from proofloop.store import Phase, RunReader, RunStore
from proofloop.store.reader import DATABASE_NAME

NUM_WORKERS = 2
_PR_SET_CHILD_SUBREAPER = 36
_LINGER_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Aim:
    """When to kill: so many seconds after so many lines of progress."""

    num_lines: int
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A kill that hit a running driver, and what the record said then."""

    aim: Aim
    num_lines: int
    found: str


def random_aims(source: random.Random, num_kills: int, start_s: float) -> Iterator[Aim]:
    """One in four during the start, the others within the next steps; the first at the start."""
    for i in range(num_kills):
        if i % 4 == 0:
            yield Aim(num_lines=0, delay_s=source.uniform(0.0, start_s))
        else:
            yield Aim(num_lines=source.randint(1, 3), delay_s=source.uniform(0.0, 0.4))


@pytest.fixture
def adopted() -> Iterator[set[int]]:
    """Makes this process the parent of every orphan below it, so that none can hide; gives the
    children that it had before."""
    libc = ctypes.CDLL(None)
    before = children()
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield before
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def wait_until_none_is_left(before: set[int]) -> float:
    """Reaps the driver's orphans until the last has ended by itself; gives the seconds it took."""
    began = time.monotonic()
    while left := children() - before:
        assert time.monotonic() - began < _LINGER_S, (
            f"processes left: {sorted(map(describe, left))}"
        )
        for pid in left:
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    return time.monotonic() - began


def describe(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return f"{pid}, just ended"


class Driver:
    """A training run in a process of its own; resumes where there is something to resume."""

    def __init__(self, run: Path, recipe: Path) -> None:
        program = Path(__file__).with_name("tiny_runs.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(run), str(recipe)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.lines.close()

    @property
    def lines(self):
        assert self._process.stdout is not None
        return self._process.stdout

    def finish(self) -> None:
        for _ in self.lines:
            pass
        assert self._process.wait() == 0

    def kill(self, aim: Aim) -> int | None:
        """Lines of progress seen until it was killed; None where it had ended by then."""
        for num_seen in range(aim.num_lines):
            if not self.lines.readline():
                assert self._process.wait() == 0
                return None
        try:
            status = self._process.wait(timeout=aim.delay_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            assert self._process.wait() == -9
            return aim.num_lines + sum(1 for _ in self.lines)
        assert status == 0
        return None


def state_of(run: Path) -> str:
    """Where a kill hit, for people."""
    if not (run / DATABASE_NAME).exists():
        return "before there was a run"
    with RunStore.read(run) as store:
        return _state(store, run)


def _state(store: RunReader, run: Path) -> str:
    done = store.last_step() or 0
    if store.rollouts_recorded(Phase.TRAIN, done + 1):
        where = f"step {done + 1}: rollouts recorded, not trained on"
    elif store.load_draws(Phase.TRAIN, done + 1):
        where = f"step {done + 1}: drawn, not sampled"
    elif not store.rollouts_recorded(Phase.EVAL, 0):
        where = "before or in the first evaluation"
    else:
        where = f"after step {done}"
    leftovers = sorted(p.name for p in (*run.glob(".tmp-*"), *run.glob("*/.tmp-*")))
    return f"{where}; unfinished files: {', '.join(leftovers)}" if leftovers else where


def crash_again_and_again(
    tmp_path: Path, model: Path, before: set[int], *, num_steps: int, num_kills: int, seed: int
) -> list[Kill]:
    """Kills and resumes a run until it is done; checks all that must hold."""
    recipe = tmp_path / "recipe.toml"
    settings = {"num_steps": num_steps, "checkpoint_every": 2, "workers": NUM_WORKERS}
    recipe.write_text(dump_toml(tiny_recipe(model, **settings)))
    began = time.monotonic()
    with Driver(tmp_path / "whole", recipe) as driver:
        driver.lines.readline()
        start_s = time.monotonic() - began
        driver.finish()
    whole = remember(tmp_path / "whole")
    assert list(whole.weights) == list(range(1, num_steps + 1))
    assert len(set(whole.weights.values())) == num_steps, "some step changed nothing"

    run, kills = tmp_path / "killed", list[Kill]()
    for aim in random_aims(random.Random(seed), num_kills, start_s):
        with Driver(run, recipe) as driver:
            num_lines = driver.kill(aim)
        linger_s = wait_until_none_is_left(before)
        if num_lines is None:
            break
        kills.append(Kill(aim=aim, num_lines=num_lines, found=state_of(run)))
        print(
            f"kill {len(kills):2d}: {aim.delay_s:.2f} s after line {aim.num_lines}, found "
            f"{kills[-1].found}; the last process ended {linger_s:.2f} s later"
        )
    with Driver(run, recipe) as driver:
        driver.finish()
    wait_until_none_is_left(before)
    killed = remember(run)
    assert killed == whole
    assert (run / "model" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model" / "model.safetensors"
    ).read_bytes()
    with RunStore.read(run) as store:
        kinds = [event.kind for event in store.events()]
    assert "diverged" not in kinds
    assert "checkpoint_damaged" not in kinds
    drawn = [task for tasks in killed.draws.values() for task in tasks]
    assert len(drawn) == len(set(drawn))
    print(
        f"{len(kills)} of {num_kills} kills hit, {kinds.count('resumed')} resumes; {num_steps} "
        f"steps, {len(drawn)} tasks each once, {len(killed.rollouts)} rollouts; final weights "
        f"{str(killed.weights[num_steps])[:16]} = uninterrupted"
    )
    return kills


def test_three_kills_lose_nothing(tmp_path: Path, tiny_model: Path, adopted: set[int]) -> None:
    kills = crash_again_and_again(tmp_path, tiny_model, adopted, num_steps=6, num_kills=3, seed=0)
    assert len(kills) >= 2, "the run was done before it was killed"


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path, tiny_model: Path, adopted: set[int]) -> None:
    kills = crash_again_and_again(tmp_path, tiny_model, adopted, num_steps=50, num_kills=20, seed=1)
    assert len(kills) == 20, "the run was done before it was killed as often as it should be"
