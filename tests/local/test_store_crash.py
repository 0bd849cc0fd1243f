"""Kill -9 at random instants of a tight write loop: what is found is whole, and goes on."""

import os
import random
import subprocess
import sys
from pathlib import Path

from store_examples import checkpoint_files, draws, groups, weights

from proofloop.store import Phase, RunReader, RunStore, checkpoints

NUM_KILLS = 20


def write_and_kill(run: Path, delay_s: float) -> None:
    writer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("store_examples.py")), str(run)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    try:
        writer.wait(timeout=delay_s)
        raise AssertionError(f"the writer ended by itself with status {writer.returncode}")
    except subprocess.TimeoutExpired:
        writer.kill()
    writer.wait()
    writer.stdout.close()


def check_whole(reader: RunReader, run: Path, since: int) -> int:
    """Everything recorded after step `since` is whole; gives the last step that was recorded."""
    last = reader.last_step() or 0
    assert reader.completed_steps() == list(range(1, last + 1))
    recorded = reader.recorded_steps(Phase.TRAIN)
    assert recorded in (list(range(1, last + 1)), list(range(1, last + 2)))
    for step in recorded[since:]:
        assert reader.load_draws(Phase.TRAIN, step) == draws(step)
        assert reader.load_groups(Phase.TRAIN, step) == groups(Phase.TRAIN, step)
    for step in range(since + 1, last + 1):
        assert reader.weights_sha256(step) == weights(step)
    found = checkpoints.latest(run / "checkpoints")
    assert found.problems == ()
    if last > 1:
        assert found.checkpoint is not None
        assert found.checkpoint.step in (last, last - 1), "one step is done again, at most"
        assert checkpoints.load(found.checkpoint) == checkpoint_files(found.checkpoint.step)
    return last


def test_after_a_kill_every_recorded_step_is_whole_and_the_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    RunStore.create(run).close()
    source = random.Random(0)
    last = 0
    for _ in range(NUM_KILLS):
        write_and_kill(run, source.uniform(0.0, 0.15))
        with RunStore.read(run) as reader:
            found = check_whole(reader, run, since=max(0, last - 1))
        assert found >= last, "a recorded step was lost"
        last = found
    with RunStore.open(run) as store:
        assert check_whole(store, run, since=0) == last
        num_rows = sum(1 for _ in store.iter_rollouts())
        assert num_rows == 12 * len(store.recorded_steps(Phase.TRAIN))
    assert last > NUM_KILLS, "too slow a loop to have been killed amid its work"
