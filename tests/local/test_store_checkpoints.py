"""Checkpoints on a real disk: what is damaged is passed over and named."""

import os
from pathlib import Path

import pytest

from proofloop.core.errors import StoreDamaged
from proofloop.store import checkpoints
from proofloop.store.files import write_atomic


def files(step: int) -> dict[str, bytes]:
    return {"model.safetensors": bytes([step]) * 1000, "trainer.bin": b"state %d" % step}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for step in (50, 100):
        checkpoints.save(tmp_path / "checkpoints", step, files(step), keep=2)
    return tmp_path / "checkpoints"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_newest_comes_back_byte_for_byte(directory: Path) -> None:
    found = checkpoints.latest(directory)
    assert found.problems == ()
    assert found.checkpoint is not None
    assert found.checkpoint.path == directory / "step-000100"
    assert checkpoints.load(found.checkpoint) == files(100)


def test_none_where_nothing_was_saved(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "none").checkpoint is None


def test_only_the_newest_are_kept(directory: Path) -> None:
    checkpoints.save(directory, 150, files(150), keep=2)
    assert names(directory) == ["step-000100", "step-000150"]
    with pytest.raises(ValueError, match="at least 2"):
        checkpoints.save(directory, 200, files(200), keep=1)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda c: flip(c / "model.safetensors"), "model.safetensors: does not match its checksum"),
        (lambda c: os.truncate(c / "trainer.bin", 3), "trainer.bin: does not match its checksum"),
        (lambda c: (c / "trainer.bin").unlink(), "trainer.bin: No such file"),
        (lambda c: (c / "checkpoint.json").unlink(), "checkpoint.json: No such file"),
        (lambda c: (c / "checkpoint.json").write_bytes(b"\xff\x00"), "checkpoint.json: "),
        (lambda c: (c / "checkpoint.json").write_bytes(b'{"step": 1}'), "checkpoint.json: "),
    ],
)
def test_a_damaged_newest_is_named_and_the_previous_used(directory: Path, damage, problem) -> None:
    damage(directory / "step-000100")
    found = checkpoints.latest(directory)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 50
    assert checkpoints.load(found.checkpoint) == files(50)
    (said,) = found.problems
    assert said.path == directory / "step-000100"
    assert str(said.path) in said.problem
    assert problem in said.problem


def test_a_checkpoint_of_another_step_is_refused(directory: Path) -> None:
    (directory / "step-000100").rename(directory / "step-000200")
    assert "is of step 100" in checkpoints.latest(directory).problems[0].problem


def test_going_on_after_damage_keeps_the_good_one_and_replaces_the_bad(directory: Path) -> None:
    flip(directory / "step-000100" / "model.safetensors")
    checkpoints.save(directory, 60, files(60), keep=2)
    assert names(directory) == ["step-000050", "step-000060", "step-000100"]
    checkpoints.save(directory, 100, files(100), keep=2)
    found = checkpoints.latest(directory)
    assert found.problems == ()
    assert found.checkpoint is not None
    assert found.checkpoint.step == 100
    assert names(directory) == ["step-000060", "step-000100"]


def test_leftovers_of_a_killed_save_are_no_checkpoints_and_go(directory: Path) -> None:
    leftover = directory / ".tmp-step-000150"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    found = checkpoints.latest(directory)
    assert (found.checkpoint and found.checkpoint.step, found.problems) == (100, ())
    checkpoints.save(directory, 150, files(150), keep=3)
    assert names(directory) == ["step-000050", "step-000100", "step-000150"]


def test_damage_between_looking_and_loading_is_found(directory: Path) -> None:
    checkpoint = checkpoints.latest(directory).checkpoint
    assert checkpoint is not None
    flip(checkpoint.path / "trainer.bin")
    with pytest.raises(StoreDamaged, match=r"step-000100/trainer\.bin"):
        checkpoints.load(checkpoint)


@pytest.mark.parametrize("name", ["../x", "a/b", "checkpoint.json", ""])
def test_names_that_are_not_plain_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        checkpoints.save(tmp_path, 1, {name: b""}, keep=2)


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["report.html"]
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(path, b"x")
    assert names(tmp_path) == ["report.html"]
