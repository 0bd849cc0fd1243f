"""What the program says, and its exit code, when the user can mend something; and what it tells
programs.  Every message is one line without a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import proofloop
from proofloop.cli import main
from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox


def available(tier: Tier) -> bool:
    try:
        open_sandbox(tier).close()
    except IsolationError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["verfy"], ["no verb 'verfy'", "did you mean 'verify'"]),
        (["train", "--ste", "a=1"], ["--ste", "--set"]),
        (["train", "--set", "train.num_step=1"], ["train.num_step", "train.num_steps"]),
        (["train", "--set", "train.num_steps=x"], ["train.num_steps", "expected int"]),
        (["train", "quikstart"], ["quikstart", "did you mean 'quickstart'"]),
        (["train", "--resume", "{tmp}"], ["{tmp}", "not a run directory"]),
        (["train", "--resume", "{tmp}", "--set", "a.b=1"], ["--resume", "give no"]),
        (["train", "--set", "model.path={tmp}/none", "--out", "{tmp}/o"], ["{tmp}/none"]),
        (["train", "--resume", "{tmp}", "--control", "copy"], ["--resume", "give no"]),
        (["train", "--control", "radnom"], ["--control", "radnom", "random"]),
        (["train", "--control", "random", "--of", "{tmp}"], ["{tmp}", "not a run directory"]),
        (["train", "--of", "{tmp}"], ["--of", "--control"]),
        (["train", "quickstart", "--control", "copy", "--of", "{tmp}"], ["--of", "RECIPE"]),
        (["train", "--control", "sft"], ["sft", "--of RUN"]),
        (["train", "--control", "random", "--set", "reward.control=none"], ["undone by"]),
        (["eval", "--model", "pico"], ["--env"]),
        (["report", "{tmp}/none"], ["{tmp}/none"]),
        (["report"], ["RUN"]),
        (["peek", "{tmp}"], ["{tmp}", "not a run directory"]),
        (["validate", "functoins"], ["functoins", "did you mean 'functions'"]),
        (["validate", "humaneval"], ["--data"]),
        (["validate", "gsm8k"], ["--data"]),
        (["validate", "math"], ["--data"]),
        (["validate", "humaneval", "--data", "{tmp}/none.jsonl"], ["{tmp}/none.jsonl", "no such"]),
        (["tasks", "functions", "--set", "env.complexity=77"], ["env.complexity", "77"]),
        (["verify", "--env", "functions", "--completions", "{tmp}/c"], ["{tmp}/c", "no such file"]),
        (["verify", "--env", "functions", "--completions", "c", "--tier", "T7"], ["T7", "T0"]),
        (["pretrain"], ["--out"]),
        (["pretrain", "--out", "{tmp}/p", "--set", "training.stpes=1"], ["training.stpes"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], parts: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main([a.format(tmp=tmp_path) for a in arguments])
    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("proofloop: error: ")
    assert "Traceback" not in printed.err
    assert printed.err.count("error:") == 1
    for part in parts:
        assert part.format(tmp=tmp_path) in printed.err


def test_a_damaged_run_is_one_line_and_exit_code_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.db").write_bytes(b"not a database, whatever its name" * 200)
    (tmp_path / "config.toml").write_text("")
    for arguments in (["report", str(tmp_path)], ["peek", str(tmp_path)]):
        assert main(arguments) == 2
        printed = capfd.readouterr()
        assert str(tmp_path / "run.db") in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.skipif(available(Tier.T1), reason="this machine gives T1")
def test_a_tier_that_cannot_be_had_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "functions", "--tier", "T1"]) == 2
    assert "T1 cannot be had" in capfd.readouterr().err


def test_doctor_tells_what_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    machine = json.loads(capfd.readouterr().out)
    assert machine["proofloop"] == proofloop.__version__
    assert machine["hardware"]["num_cores"] == len(os.sched_getaffinity(0))
    tiers = {found["tier"]: found["available"] for found in machine["tiers"]}
    assert tiers == {tier.value: available(tier) for tier in Tier}
    assert main(["doctor"]) == 0
    printed = capfd.readouterr().out
    assert all(f"tier {tier}" in printed for tier in Tier)
    assert "train.device = auto is " in printed
    assert "train.precision = float32" in printed


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proofloop", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
    )


def test_the_program_itself_has_a_version_and_exit_codes() -> None:
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert proofloop.__version__ in version.stdout
    wrong = run("validate", "nothing")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    debug = run("validate", "nothing", PROOFLOOP_DEBUG="1")
    assert debug.returncode == 2
    assert "Traceback" in debug.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    pipeline = f"{sys.executable} -m proofloop tasks functions -n 2000 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", pipeline], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["split"] == "heldout"
    assert done.stderr == ""
