"""Kill -9 of a training run at random instants, from its start to its last file: nothing is lost.

After every kill no process of the run is left; after the last resume, weights, ledger, rollouts
and verdicts are those of the run that nobody killed, bit for bit.  `pytest -s` shows the kills.
"""

import ctypes
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tiny_runs import ignore, remember, tiny_recipe

from proofloop.core.rollout import Judged
from proofloop.runs.config import dump_toml
from proofloop.runs.recipe import EnvConfig, Recipe
from proofloop.runs.recipe_agent import AgentConfig, AgentDialect
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunReader, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.config import FeedbackArm, FeedbackConfig, TripwireConfig
from proofloop.train.loop_sync import Report

NUM_WORKERS = 2
_PR_SET_CHILD_SUBREAPER = 36
_LINGER_S = 20.0
_START_S = 4.0
"""Until a driver's first line of progress, before one was measured."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """When to kill: so many seconds after so many lines of progress, of which an evaluation and a
    step write one each."""

    num_lines: int
    delay_s: float


def random_aim(source: random.Random, i: int, *, start_s: float, step_s: float) -> Aim:
    """One in four during the start, the others within the next steps; the first at the start."""
    if i % 4 == 0:
        return Aim(num_lines=0, delay_s=source.uniform(0.0, start_s))
    return Aim(num_lines=source.randint(1, 3), delay_s=source.uniform(0.0, step_s))


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
        self._began = time.monotonic()
        self._lines_at_s = list[float]()
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
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _next_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            self._lines_at_s.append(time.monotonic() - self._began)
        return line

    @property
    def start_s(self) -> float:
        """Until the first line of progress."""
        return self._lines_at_s[0] if self._lines_at_s else math.inf

    def kill(self, aim: Aim) -> bool:
        """Whether it was still running when it was killed."""
        for _ in range(aim.num_lines):
            if not self._next_line():
                assert self._process.wait() == 0
                return False
        try:
            status = self._process.wait(timeout=aim.delay_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            assert self._process.wait() == -9
            return True
        assert status == 0
        return False


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


def train(recipe: Recipe, run: Path, on_progress: Callable[[Report], None] = ignore) -> None:
    """Goes on where there is something to go on with."""
    resume = (run / DATABASE_NAME).exists()
    run_training(recipe, run, resume=resume, on_progress=on_progress)


def crash_again_and_again(
    tmp_path: Path,
    model: Path,
    before: set[int],
    *,
    num_steps: int,
    num_kills: int,
    seed: int,
    arm: FeedbackArm = FeedbackArm.NONE,
    refill: int = 0,
) -> int:
    """Kills and resumes a run until it is done; checks all that must hold.  Gives the number of
    kills that hit."""
    settings = {"num_steps": num_steps, "checkpoint_every": 2, "workers": NUM_WORKERS}
    settings["refill"] = refill
    wired = TripwireConfig(share=0.2)  # one impossible task a step
    settled = msgspec.structs.replace(tiny_recipe(model, **settings), tripwire=wired)
    settled = msgspec.structs.replace(settled, feedback=FeedbackConfig(arm=arm))
    return crash(settled, tmp_path, before, num_kills=num_kills, seed=seed)


def crash(settled: Recipe, tmp_path: Path, before: set[int], *, num_kills: int, seed: int) -> int:
    """The run that nobody kills, and the one that goes on at the end, are this process's own."""
    num_steps = settled.train.num_steps
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(dump_toml(settled))
    at_s: list[float] = []
    train(settled, tmp_path / "whole", lambda report: at_s.append(time.monotonic()))
    before = before | children()
    start_s, step_s = _START_S, (at_s[-1] - at_s[0]) / (len(at_s) - 1)
    whole = remember(tmp_path / "whole")
    assert list(whole.weights) == list(range(1, num_steps + 1))
    assert len(set(whole.weights.values())) == num_steps, "some step changed nothing"

    run, num_hit = tmp_path / "killed", 0
    source = random.Random(seed)
    for i in range(num_kills):
        aim = random_aim(source, i, start_s=start_s, step_s=step_s)
        with Driver(run, recipe) as driver:
            hit = driver.kill(aim)
        start_s = min(start_s, driver.start_s)
        linger_s = wait_until_none_is_left(before)
        if not hit:
            break
        num_hit += 1
        print(
            f"kill {num_hit:2d}: {aim.delay_s:.2f} s after line {aim.num_lines}, found "
            f"{state_of(run)}; the last process ended {linger_s:.2f} s later"
        )
    train(settled, run)
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
        f"{num_hit} of {num_kills} kills hit, {kinds.count('resumed')} resumes; {num_steps} "
        f"steps, {len(drawn)} tasks each once, {len(killed.rollouts)} rollouts; final weights "
        f"{str(killed.weights[num_steps])[:16]} = uninterrupted"
    )
    return num_hit


def test_workers_die_with_their_driver_amid_their_work(
    tmp_path: Path, tiny_model: Path, adopted: set[int]
) -> None:
    recipe = tmp_path / "recipe.toml"
    # A step of half a minute: 4096 completions of up to 24 tokens.
    long = tiny_recipe(tiny_model, tasks_per_step=64, samples_per_task=64, workers=NUM_WORKERS)
    recipe.write_text(dump_toml(long))
    with Driver(tmp_path / "run", recipe) as driver:
        assert driver.kill(Aim(num_lines=1, delay_s=1.0))
    assert wait_until_none_is_left(adopted) < 3.0
    assert state_of(tmp_path / "run") == "step 1: drawn, not sampled"


def test_three_kills_lose_nothing(tmp_path: Path, tiny_model: Path, adopted: set[int]) -> None:
    for seed in range(3):  # where the machine's pace changes, a run may be done before its kills
        place = tmp_path / str(seed)
        place.mkdir()
        num_hit = crash_again_and_again(
            place, tiny_model, adopted, num_steps=6, num_kills=3, seed=seed
        )
        if num_hit >= 2:
            return
    pytest.fail("three runs were done before they were killed")


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path, tiny_model: Path, adopted: set[int]) -> None:
    num_hit = crash_again_and_again(
        tmp_path, tiny_model, adopted, num_steps=50, num_kills=20, seed=1
    )
    assert num_hit == 20, "the run was done before it was killed as often as it should be"


@pytest.mark.slow
@pytest.mark.parametrize("arm", [FeedbackArm.RETRY, FeedbackArm.DISTIL])
def test_kills_of_runs_that_learn_from_feedback_lose_nothing(
    arm: FeedbackArm, tmp_path: Path, tiny_model: Path, adopted: set[int]
) -> None:
    num_hit = crash_again_and_again(
        tmp_path, tiny_model, adopted, num_steps=12, num_kills=5, seed=2, arm=arm
    )
    assert num_hit >= 3, "the run was done before it was killed as often as it should be"


@pytest.mark.slow
def test_kills_of_runs_that_replace_groups_lose_nothing(
    tmp_path: Path, tiny_model: Path, adopted: set[int]
) -> None:
    num_hit = crash_again_and_again(
        tmp_path, tiny_model, adopted, num_steps=12, num_kills=5, seed=3, refill=4
    )
    assert num_hit >= 3, "the run was done before it was killed as often as it should be"


def agents(model: Path, num_steps: int, num_workers: int = NUM_WORKERS) -> Recipe:
    """Rollouts of several turns with tools."""
    settings = {"num_steps": num_steps, "checkpoint_every": 2, "workers": num_workers}
    tiny = tiny_recipe(model, tasks_per_step=3, samples_per_task=3, **settings)
    env = EnvConfig(name="minirepos", families=("int",), complexity=(1,), horizon=(1, 2))
    agent = AgentConfig(dialect=AgentDialect.DEFINITIONS)
    return msgspec.structs.replace(tiny, env=env, agent=agent)


def outcomes_of(run: Path) -> list[tuple[object, ...]]:
    """The outcome table, held-out rollouts included, but for what clocks said."""
    columns = ("rollout_id", "task_id", "passed", "reward", "cause", "num_turns", "num_tokens")
    columns += ("logprob", "policy_sha256", "verifier", "checkpoint")
    with RunStore.read(run) as store:
        return [
            row
            for phase in (Phase.EVAL, Phase.TRAIN)
            for step in store.recorded_steps(phase)
            for row in store.outcomes(phase, step, columns)
        ]


def test_a_kill_of_agents_loses_nothing(
    tmp_path: Path, tiny_model: Path, adopted: set[int]
) -> None:
    recipe, path = agents(tiny_model, num_steps=2, num_workers=1), tmp_path / "recipe.toml"
    path.write_text(dump_toml(recipe))
    whole, run = tmp_path / "whole", tmp_path / "killed"
    at_s: list[float] = []
    train(recipe, whole, lambda report: at_s.append(time.monotonic()))
    before = children()
    delay_s = random.uniform(0.0, 0.8 * (at_s[-1] - at_s[0]))
    with Driver(run, path) as driver:
        assert driver.kill(Aim(num_lines=1, delay_s=delay_s))
    wait_until_none_is_left(before | adopted)
    print(f"killed {delay_s:.2f} s after the first evaluation: {state_of(run)}")
    train(recipe, run)
    assert remember(run) == remember(whole)
    assert outcomes_of(run) == outcomes_of(whole)


def _attempts(store: RunReader) -> Iterator[Judged]:
    for group in store.load_groups(Phase.TRAIN, 1):
        yield from group.group.attempts


@pytest.mark.slow
def test_twelve_kills_of_agents_lose_nothing(
    tmp_path: Path, tiny_model: Path, adopted: set[int]
) -> None:
    recipe = agents(tiny_model, num_steps=30)
    num_hit = crash(recipe, tmp_path, adopted, num_kills=12, seed=4)
    assert num_hit == 12, "the run was done before it was killed as often as it should be"
    assert outcomes_of(tmp_path / "killed") == outcomes_of(tmp_path / "whole")
    with RunStore.read(tmp_path / "killed") as store:
        assert any(len(a.rollout.turns) > 1 for a in _attempts(store))
