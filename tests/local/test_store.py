"""The store on a real disk: round trips, exactly once, one writer, readers, damage."""

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_examples import draws, group, groups, record_whole_step, task, verdict, weights

from proofloop.core.errors import RunError, StoreDamaged
from proofloop.store import Evaluation, Phase, RunReader, RunStore, rollout_id
from proofloop.store.reader import DATABASE_NAME
from proofloop.store.segments import (
    NOTHING_COUNTED,
    Counted,
    StoredGroup,
    append,
    read_group,
)
from proofloop.testing import FixedClock

PYTHONPATH = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A closed run of two steps."""
    with RunStore.create(tmp_path / "run") as store:
        record_whole_step(store, 1)
        record_whole_step(store, 2)
    return tmp_path / "run"


def flip_byte(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def test_groups_come_back_token_for_token(run: Path) -> None:
    with RunStore.open(run) as store:
        assert store.load_groups(Phase.TRAIN, 2) == groups(Phase.TRAIN, 2)
        assert store.load_draws(Phase.TRAIN, 2) == draws(2)
        assert store.load_groups(Phase.TRAIN, 3) == []
        assert store.recorded_steps(Phase.TRAIN) == [1, 2]
        assert not store.rollouts_recorded(Phase.EVAL, 2)


def test_rows_answer_questions_about_outcomes(run: Path) -> None:
    with RunStore.read(run) as reader:
        rows = list(reader.iter_rollouts(phase=Phase.TRAIN, step=1))
    assert [(row.slot, row.sample) for row in rows] == [(g, s) for g in range(3) for s in range(4)]
    passed, unscored, failed, _ = rows[:4]
    completion = groups(Phase.TRAIN, 1)[0].group.attempts[0].rollout.turns[0].completion
    assert (passed.verdict, passed.reward, passed.passed) == ("scored", 1.0, True)
    assert (passed.num_context_tokens, passed.num_sampled_tokens) == (100, 30)
    assert passed.sum_logprob == sum(completion.logprobs)
    assert passed.mean_entropy == sum(completion.entropies) / 30
    assert (passed.policy_step, passed.policy_sha256) == (0, weights(0))
    assert (unscored.verdict, unscored.reward, unscored.passed) == ("unscored", None, None)
    assert (unscored.cause, unscored.parts) == ("sandbox_lost", {})
    assert (failed.passed, failed.cause) == (False, "wrong_answer")
    assert failed.parts == {"tests_passed": 3.0, "tests_planned": 12.0}


def test_one_rollout_by_id(run: Path) -> None:
    with RunStore.read(run) as reader:
        recorded = reader.load_rollout("train-2-1-3")
        assert recorded.judged == group(Phase.TRAIN, 2, 1).group.attempts[3]
        assert recorded.judged.verdict == verdict(3)
        assert (recorded.row.step, recorded.row.slot, recorded.row.sample) == (2, 1, 3)
        with pytest.raises(RunError, match="no rollout 'train-9-9-9'"):
            reader.load_rollout("train-9-9-9")


def test_rollouts_and_tasks_are_recorded_once(run: Path) -> None:
    with RunStore.open(run) as store:
        with pytest.raises(ValueError, match="already recorded"):
            store.record_rollouts(Phase.TRAIN, 2, groups(Phase.TRAIN, 2))
        store.record_draws(Phase.TRAIN, 2, draws(2))
        with pytest.raises(RunError, match="drawn before and with other tasks"):
            store.record_draws(Phase.TRAIN, 2, draws(3))
        with pytest.raises(ValueError, match="not the tasks that were drawn"):
            store.record_rollouts(Phase.TRAIN, 3, groups(Phase.TRAIN, 3))
        assert [len(store.load_draws(Phase.TRAIN, step)) for step in (1, 2, 3)] == [3, 3, 0]


def test_a_step_that_fails_half_way_leaves_nothing(run: Path) -> None:
    twice = [group(Phase.EVAL, 1, 0), group(Phase.EVAL, 1, 1), group(Phase.EVAL, 1, 0)]
    with RunStore.open(run) as store:
        store.begin_evaluation(1, draws(1), num_samples=4)
        with pytest.raises(ValueError, match="recorded twice"):
            store.record_rollouts(Phase.EVAL, 1, twice)
        assert not store.rollouts_recorded(Phase.EVAL, 1)
        store.record_rollouts(Phase.EVAL, 1, twice[:2])
        assert store.load_groups(Phase.EVAL, 1) == twice[:2]
        assert store.load_groups(Phase.TRAIN, 2) == groups(Phase.TRAIN, 2)


def test_an_evaluation_grows_by_portions_and_counts_when_it_has_ended(run: Path) -> None:
    whole = groups(Phase.EVAL, 2)
    with RunStore.open(run) as store:
        assert store.evaluation(2) is None
        store.begin_evaluation(2, draws(2), num_samples=4)
        store.record_rollouts(Phase.EVAL, 2, whole[:2])
    with RunStore.open(run) as store:
        store.begin_evaluation(2, draws(2), num_samples=4)  # taken up again
        assert store.recorded_slots(Phase.EVAL, 2) == {0, 1}
        assert store.recorded_steps(Phase.EVAL) == []
        with pytest.raises(RunError, match="begun with 4 samples a task, not 8"):
            store.begin_evaluation(2, draws(2), num_samples=8)
        with pytest.raises(RunError, match="drawn before and with other tasks"):
            store.begin_evaluation(2, draws(3), num_samples=4)
        with pytest.raises(ValueError, match="already recorded"):
            store.record_rollouts(Phase.EVAL, 2, whole[1:])
        with pytest.raises(ValueError, match="not the tasks that were drawn"):
            store.record_rollouts(Phase.EVAL, 2, [group(Phase.EVAL, 3, 7)])
        store.record_rollouts(Phase.EVAL, 2, whole[2:])
        store.end_evaluation(2, "all tasks")
        assert store.recorded_steps(Phase.EVAL) == [2]
        assert store.evaluation(2) == Evaluation(
            step=2, num_tasks=3, num_samples=4, ended="all tasks"
        )
        assert store.load_groups(Phase.EVAL, 2) == whole
        counts = [(c.slot, c.num_scored, c.num_passed) for c in store.pass_counts(Phase.EVAL, 2)]
        assert counts == [(0, 3, 1), (1, 3, 1), (2, 3, 1)]


def test_the_outcome_table_joins_what_the_base_thinks_of_a_rollout(run: Path) -> None:
    with RunStore.open(run) as store:
        store.record_logprobs("base", "b" * 64, {rollout_id(Phase.TRAIN, 2, 1, 3): -7.5})
        assert store.logprobs("base") == {"train-2-1-3": -7.5}
        assert store.logprobs("other") == {}
    db = sqlite3.connect(run / DATABASE_NAME)
    db.row_factory = sqlite3.Row
    rows = list(db.execute("SELECT * FROM outcomes WHERE step = 2 ORDER BY task_id, sample"))
    assert len(rows) == 12
    known = {row["rollout_id"]: row["base_logprob"] for row in rows if row["base_logprob"]}
    assert known == {"train-2-1-3": -7.5}
    row = dict(rows[0])
    completion = groups(Phase.TRAIN, 2)[0].group.attempts[0].rollout.turns[0].completion
    assert row["logprob"] == sum(completion.logprobs)
    del row["logprob"]
    assert row == {
        "task_id": task(2, 0).id,
        "sample": 0,
        "checkpoint": 1,
        "rollout_id": "train-2-0-0",
        "phase": "train",
        "step": 2,
        "env": "functions",
        "split": "train",
        "family": "int",
        "complexity": 2,
        "horizon": 1,
        "verdict": "scored",
        "passed": 1,
        "reward": 1.0,
        "cause": "passed",
        "num_tokens": 30,
        "num_turns": 1,
        "truncated": 0,
        "base_logprob": None,
        "temperature": 1.0,
        "max_tokens": 64,
        "verifier": "",
        "integrity": "strong",
        "tier": "T1",
        "policy_sha256": weights(1),
    }


def test_a_run_of_an_older_version_is_upgraded_with_its_evaluations(run: Path) -> None:
    with RunStore.open(run) as store:
        store.begin_evaluation(0, draws(0), num_samples=4)
        store.record_rollouts(Phase.EVAL, 0, groups(Phase.EVAL, 0))
    db = sqlite3.connect(run / DATABASE_NAME)
    with db:  # as the version before wrote it
        db.execute("DROP VIEW outcomes")
        for table in ("evaluations", "logprobs"):
            db.execute(f"DROP TABLE {table}")
        for column in ("num_turns", "max_tokens", "temperature", "verifier", "integrity"):
            db.execute(f"ALTER TABLE rollouts DROP COLUMN {column}")
        db.execute("DELETE FROM migrations WHERE name = 'outcomes'")
    db.close()
    with RunStore.open(run) as store:
        assert store.recorded_steps(Phase.EVAL) == [0]
        assert store.load_groups(Phase.EVAL, 0) == groups(Phase.EVAL, 0)
        assert {row.max_tokens for row in store.iter_rollouts()} == {None}


def test_steps_metrics_and_events(tmp_path: Path) -> None:
    clock = FixedClock(100.0)
    with RunStore.create(tmp_path / "run", clock=clock) as store:
        assert store.last_step() is None
        nan = float("nan")
        store.record_step(1, metrics={"loss": 0.5, "gap": nan}, weights_sha256="a", wall_s=2.0)
        store.record_step(2, metrics={"loss": 0.25}, weights_sha256="b", wall_s=3.0)
        store.event("resumed", "after step 1")
        assert (store.completed_steps(), store.last_step()) == ([1, 2], 2)
        assert store.metrics("loss") == [(1, 0.5), (2, 0.25)]
        assert [value != value for _, value in store.metrics("gap")] == [True]
        assert store.metric_names() == ["gap", "loss"]
        assert store.step_durations() == [(1, 2.0), (2, 3.0)]
        assert [(e.time, e.kind, e.message) for e in store.events()] == [
            (100.0, "resumed", "after step 1")
        ]


def test_a_repeated_step_keeps_its_first_record_unless_it_diverged(run: Path) -> None:
    with RunStore.open(run) as store:
        same = store.record_step(2, metrics={"loss": 9.0}, weights_sha256=weights(2), wall_s=9.0)
        assert same
        assert store.metrics("loss") == [(1, 0.5), (2, 0.5)]
        same = store.record_step(2, metrics={"loss": 9.0}, weights_sha256="other", wall_s=9.0)
        assert not same
        assert store.metrics("loss") == [(1, 0.5), (2, 9.0)]
        assert store.weights_sha256(2) == "other"
        assert [event.kind for event in store.events()] == ["diverged"]


def test_a_flipped_byte_in_a_segment_is_named_and_the_rest_is_readable(run: Path) -> None:
    with sqlite3.connect(run / DATABASE_NAME) as db:
        (offset, num_bytes) = db.execute(
            "SELECT segment_offset, segment_bytes FROM rollouts WHERE id = 'train-2-1-0'"
        ).fetchone()
    db.close()
    for at in (offset + 1, offset + 5, offset + num_bytes // 2):
        flip_byte(run / "segments" / "000001.seg", at)
        with RunStore.open(run) as store:
            message = rf"000001\.seg, offset {offset}: the bytes do not match their checksum"
            with pytest.raises(StoreDamaged, match=message):
                store.load_groups(Phase.TRAIN, 2)
            assert store.load_groups(Phase.TRAIN, 1) == groups(Phase.TRAIN, 1)
            assert store.load_rollout("train-2-0-0").row.passed
        flip_byte(run / "segments" / "000001.seg", at)


def test_a_shortened_segment_is_named_and_never_written_over(run: Path) -> None:
    segment = run / "segments" / "000001.seg"
    os.truncate(segment, segment.stat().st_size - 10)
    with RunStore.open(run) as store:
        record_whole_step(store, 3)
        assert store.load_groups(Phase.TRAIN, 3) == groups(Phase.TRAIN, 3)
        with pytest.raises(StoreDamaged, match=r"000001\.seg, offset \d+: the file ends too early"):
            store.load_groups(Phase.TRAIN, 2)


def test_the_tail_of_an_unfinished_write_is_overwritten(run: Path) -> None:
    segment = run / "segments" / "000001.seg"
    with segment.open("ab") as file:
        file.write(b"PLG1 half a frame" * 100_000)
    with RunStore.open(run) as store:
        record_whole_step(store, 3)
        assert store.load_groups(Phase.TRAIN, 2) == groups(Phase.TRAIN, 2)
        assert store.load_groups(Phase.TRAIN, 3) == groups(Phase.TRAIN, 3)
    assert segment.stat().st_size < 1_000_000


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    recorded = group(Phase.TRAIN, 1, 0)
    stored = StoredGroup(task=recorded.task, group=recorded.group)
    (first,), counted = append(tmp_path, NOTHING_COUNTED, [stored])
    assert first.segment == counted.segment == "segments/000001.seg"
    full = Counted(counted.segment, 2**40)
    (second, third), counted = append(tmp_path, full, [stored, stored])
    assert (second.segment, second.offset) == ("segments/000002.seg", 0)
    assert counted == ("segments/000002.seg", second.num_bytes + third.num_bytes)
    assert [read_group(tmp_path, at) for at in (first, second, third)] == [stored] * 3


def test_a_row_that_points_to_another_task_is_refused(run: Path) -> None:
    columns = ("segment_offset", "segment_bytes", "segment_crc32")
    other = ", ".join(f"{c} = (SELECT {c} FROM rollouts WHERE id = 'train-1-0-0')" for c in columns)
    with sqlite3.connect(run / DATABASE_NAME) as db:
        db.execute(f"UPDATE rollouts SET {other} WHERE step = 1 AND slot = 1")
    db.close()
    with RunStore.read(run) as reader:
        with pytest.raises(StoreDamaged, match=r"000001\.seg, offset 0: does not hold"):
            reader.load_groups(Phase.TRAIN, 1)
        with pytest.raises(StoreDamaged, match="does not hold"):
            reader.load_rollout("train-1-1-0")


@pytest.mark.parametrize("opener", [RunStore.open, RunStore.read])
class TestRefusals:
    """Each is one line that names the directory."""

    def refusal(self, opener, directory: Path) -> str:
        with pytest.raises(RunError) as caught:
            opener(directory).close()
        message = str(caught.value)
        assert "\n" not in message
        assert str(directory) in message
        return message

    def test_missing(self, opener, tmp_path: Path) -> None:
        assert "not a run directory" in self.refusal(opener, tmp_path / "none")
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
    def test_not_a_database(self, opener, run: Path, content: bytes) -> None:
        (run / DATABASE_NAME).write_bytes(content)
        self.refusal(opener, run)

    def test_truncated(self, opener, run: Path) -> None:
        os.truncate(run / DATABASE_NAME, 5000)
        assert "damaged" in self.refusal(opener, run)

    def test_foreign(self, opener, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / DATABASE_NAME) as db:
            db.execute("CREATE TABLE rollouts (id)")
        db.close()
        assert "not one that Proofloop wrote" in self.refusal(opener, tmp_path)

    def test_newer(self, opener, run: Path) -> None:
        with sqlite3.connect(run / DATABASE_NAME) as db:
            db.execute("INSERT INTO migrations VALUES ('from_the_future', 0)")
        db.close()
        assert "newer version of Proofloop" in self.refusal(opener, run)


def test_a_damaged_page_stops_a_resume_at_once_and_a_reader_where_it_meets_it(run: Path) -> None:
    path = run / DATABASE_NAME
    path.write_bytes(path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096))
    with pytest.raises(RunError, match="damaged"):
        RunStore.open(run)
    with pytest.raises(RunError, match="damaged"), RunStore.read(run) as reader:
        list(reader.iter_rollouts())


def test_a_word_that_no_enum_knows_is_damage(run: Path) -> None:
    with sqlite3.connect(run / DATABASE_NAME) as db:
        db.execute("UPDATE rollouts SET tier = 'T9' WHERE id = 'train-1-0-0'")
    db.close()
    with RunStore.read(run) as reader, pytest.raises(RunError, match=r"train-1-0-0.*T9"):
        list(reader.iter_rollouts())


def test_a_full_disk_is_one_line_and_what_was_recorded_stays(run: Path) -> None:
    segment = run / "segments" / "000001.seg"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RunStore.open(run) as store:
        store.record_draws(Phase.TRAIN, 3, draws(3))
        resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, before[1]))
        try:
            with pytest.raises(RunError, match=r"cannot be written \(.*File too large"):
                store.record_rollouts(Phase.TRAIN, 3, groups(Phase.TRAIN, 3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not store.rollouts_recorded(Phase.TRAIN, 3)
        record_whole_step(store, 3)
        assert store.load_groups(Phase.TRAIN, 3) == groups(Phase.TRAIN, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_finished_run_is_readable_where_nothing_may_be_written(run: Path) -> None:
    run.chmod(0o555)
    try:
        with RunStore.read(run) as reader:
            assert reader.last_step() == 2
        with pytest.raises(RunError, match="cannot be made"):
            RunStore.create(run / "inner")
    finally:
        run.chmod(0o755)


def test_create_refuses_a_directory_that_holds_a_run(run: Path) -> None:
    with pytest.raises(RunError, match="already holds a run"):
        RunStore.create(run)
    RunStore.open(run).close()


def test_create_survives_the_leftover_of_a_killed_create(tmp_path: Path) -> None:
    (tmp_path / f".tmp-{DATABASE_NAME}").write_bytes(b"half")
    with RunStore.create(tmp_path) as store:
        record_whole_step(store, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.db", "run.lock", "segments"]


def test_readers_look_on_while_the_writer_writes(run: Path) -> None:
    with RunStore.open(run) as store, RunStore.read(run) as reader:
        assert reader.last_step() == 2
        looking = reader.iter_rollouts()
        next(looking)
        record_whole_step(store, 3)
        assert len(list(looking)) == 23, "an open look stays at the moment it began"
        assert reader.last_step() == 3
        assert reader.load_groups(Phase.TRAIN, 3) == groups(Phase.TRAIN, 3)
        assert not isinstance(reader, RunStore)
        assert isinstance(store, RunReader)


def test_a_second_writer_is_refused_until_the_first_is_gone(run: Path) -> None:
    with RunStore.open(run):
        with pytest.raises(RunError, match="this process is already writing"):
            RunStore.open(run)
        code = "import sys; from proofloop.store import RunStore\nfrom pathlib import Path\n"
        code += "try: RunStore.open(Path(sys.argv[1]))\nexcept ValueError as error: print(error)"
        second = [sys.executable, "-c", code, str(run)]
        out = subprocess.run(second, env=PYTHONPATH, capture_output=True, text=True, check=True)
        assert f"another process (pid {os.getpid()}) is writing" in out.stdout
    out = subprocess.run(second, env=PYTHONPATH, capture_output=True, text=True, check=True)
    assert out.stdout == ""


def test_a_forked_worker_does_not_keep_the_lock_of_a_dead_trainer(run: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from proofloop.store import RunStore\n"
        "store = RunStore.open(Path(sys.argv[1]))\n"
        "pid = os.fork()\n"
        "if pid == 0: os.close(1); sys.stdin.read(); os._exit(0)\n"
        "print(pid, flush=True); os.kill(os.getpid(), 9)"
    )
    trainer = subprocess.Popen(
        [sys.executable, "-c", code, str(run)],
        env=PYTHONPATH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = int(trainer.stdout.readline())
    assert trainer.wait() == -9
    os.kill(worker, 0)  # still there
    RunStore.open(run).close()
    trainer.stdin.close()
    trainer.stdout.close()
