"""Mining, whole: a small repository with a history becomes a set; the set is read, verified,
resumed; what cannot be mined is one line and leaves nothing."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from small_repository import FILES, ODD_TESTS, checkout, commit, write

from proofloop.cli.app import main
from proofloop.core.errors import DataError, UserError
from proofloop.core.project import ProjectTests, file_block
from proofloop.core.sandbox import Limits
from proofloop.core.task import Split
from proofloop.core.verdict import Scored, ScoredCause
from proofloop.envs.harbor import HarborEnvironment, project_tests, visible_of
from proofloop.mine import portions
from proofloop.mine.baseline import Baseline, KnownModule
from proofloop.mine.benches import Benches
from proofloop.mine.config import Format, Kind, MineConfig
from proofloop.mine.pipeline import mine
from proofloop.mine.prepare import prepare
from proofloop.mine.summary import Summary
from proofloop.verify import build_verifier

PYTHON = sys.executable
CONFIG = MineConfig(max_tasks=4, horizon=(1, 2), workers=2, format=(Format.HARBOR, Format.SWEBENCH))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Summary]:
    """Once for all processes that test side by side; only to be read."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mined"
    place.mkdir(exist_ok=True)
    repository, out, told = place / "repository", place / "set", place / "summary.json"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            summary = mine(checkout(repository), out, CONFIG, python=PYTHON)
            told.write_bytes(msgspec.json.encode(summary))
    return repository, out, msgspec.json.decode(told.read_bytes(), type=Summary)


def test_a_repository_becomes_a_set(made: tuple[Path, Path, Summary]) -> None:
    _, out, summary = made
    assert summary.num_tasks == 4
    assert summary.by_horizon["1"].admitted == summary.by_horizon["2"].admitted == 2
    names = sorted(path.name for path in (out / "tasks").iterdir())
    assert len(names) == 4
    assert any("-commit-" in name for name in names)
    assert summary.bytes_per_task < 4096
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == summary.num_tried
    assert {line["task"] for line in lines if line["result"] == "valid"} == set(names)
    assert not (out / "mining" / "tree").exists()
    rows = [json.loads(line) for line in (out / "swebench.jsonl").read_text().splitlines()]
    assert sorted(row["instance_id"] for row in rows) == names
    assert all(json.loads(row["FAIL_TO_PASS"]) for row in rows)
    environment, by_rows = HarborEnvironment(out), HarborEnvironment(out / "swebench.jsonl")
    assert [r.task for r in environment.rows] == [r.task for r in by_rows.rows]


def test_its_tasks_are_judged_as_the_panel_judged_them(made: tuple[Path, Path, Summary]) -> None:
    _, out, _ = made
    environment = HarborEnvironment(out)
    dials = {(s.complexity, s.horizon) for split in Split for s in environment.strata(split)}
    assert {horizon for _, horizon in dials} == {1, 2}
    for split in (Split.TRAIN, Split.HELDOUT):
        for stratum in environment.strata(split):
            assert environment.num_tasks(split, stratum)
    with build_verifier(None, Limits()) as verifier:
        for row in environment.rows[:2]:
            problem = environment.find(row.task.name)
            assert problem.oracle is not None
            solved = verifier.verify(problem.task, problem.key, problem.oracle)
            assert isinstance(solved, Scored)
            assert solved.passed, solved
            assert solved.parts["staged"] == solved.parts["collects"] == 1.0
            tests = problem.key.tests
            assert isinstance(tests, ProjectTests)
            broken = "".join(file_block(f.path, f.content.decode()) for f in tests.changed)
            idle = verifier.verify(problem.task, problem.key, broken)
            assert isinstance(idle, Scored)
            assert idle.reward == 0.0
            assert idle.parts["fail_to_pass"] < 1.0
            bad = file_block("tests/conftest.py", "") + broken
            refused = verifier.verify(problem.task, problem.key, bad)
            assert isinstance(refused, Scored)
            assert refused.cause is ScoredCause.FORBIDDEN_FILE


def test_half_of_a_join_is_told_in_the_parts(made: tuple[Path, Path, Summary]) -> None:
    _, out, _ = made
    environment = HarborEnvironment(out)
    row = next(r for r in environment.rows if r.task.labels.horizon == 2)
    problem = environment.find(row.task.name)
    tests = problem.key.tests
    assert isinstance(tests, ProjectTests)
    assert len(tests.changed) == 2
    right = (out / "repo" / tests.changed[0].path).read_text()
    with build_verifier(None, Limits()) as verifier:
        half = verifier.verify(problem.task, problem.key, file_block(tests.changed[0].path, right))
    assert isinstance(half, Scored)
    assert half.reward == 0.0
    assert half.parts["collects"] == 1.0
    assert half.parts["pass_to_pass"] == 1.0


def test_a_statement_tells_no_place_and_no_answer(made: tuple[Path, Path, Summary]) -> None:
    _, out, _ = made
    environment = HarborEnvironment(out)
    for row in environment.rows:
        text = row.task.instruction
        assert "src/" not in text
        assert "assert " not in text
        added = [line[1:].strip() for line in row.task.oracle.splitlines() if line[0] == "+"]
        assert not any(len(line) > 12 and line in text for line in added)
        hidden = {m.path for m in visible_of(environment.set, row.task)}
        assert hidden < {m.path for m in environment.set.info.modules}


def test_called_again_it_repeats_nothing(made: tuple[Path, Path, Summary], tmp_path: Path) -> None:
    repository, out = made[0], tmp_path / "set"
    shutil.copytree(made[1], out, symlinks=True)
    before = (out / "ledger.jsonl").read_bytes()
    assert mine(repository, out, CONFIG).num_tasks == 4
    assert (out / "ledger.jsonl").read_bytes() == before
    with pytest.raises(UserError, match=r"mine\.seed"):
        mine(repository, out, MineConfig(seed=1))


def test_a_task_that_was_changed_is_refused(
    made: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    out = tmp_path / "set"
    shutil.copytree(made[1], out)
    first = next((out / "tasks").iterdir())
    (first / "instruction.md").write_text("Do something else.\n")
    with pytest.raises(DataError, match="content_hash"):
        HarborEnvironment(out)


def test_in_a_container_the_tasks_own_script_judges(
    made: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    """`tests/test.sh` over the layout of its image, here in folders of the same shape."""
    _, out, _ = made
    app = tmp_path / "app"
    environment = HarborEnvironment(out)
    task = environment.rows[0].task
    shutil.copytree(out / "repo", app)
    for path, text in environment.set.handed_out(task).items():
        (app / path).write_text(text)
    rewards: list[float] = []
    env = {
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}", "PROOFLOOP_APP": str(app),
        "PROOFLOOP_SET": str(out), "LOGS": str(tmp_path / "logs"), "APP": str(app),
    }  # fmt: skip
    folder = out / "tasks" / task.name
    for step in ("", "solution/solve.sh"):
        if step:
            subprocess.run(["sh", str(folder / step)], env=env, check=True, capture_output=True)
        subprocess.run(["sh", str(folder / "tests/test.sh")], env=env, check=True, timeout=60)
        rewards.append(float((tmp_path / "logs" / "reward.txt").read_text()))
    assert rewards == [0.0, 1.0]


def run_mine(repository: Path, out: Path, *more: str) -> int:
    return main(
        ["mine", str(repository), "--out", str(out), "--python", PYTHON, "--workers", "2", *more]
    )


HANGS = {
    "tests/test_hangs.py": (
        "import threading\nimport time\n\n\ndef test_spins():\n    while True:\n        pass\n\n\n"
        "def test_waits():\n    lock = threading.Lock()\n    lock.acquire()\n"
        "    lock.acquire()\n\n\n"
        "def test_swallows():\n    while True:\n        try:\n            time.sleep(60)\n"
        "        except Exception:\n            pass\n\n\n"
        "def test_is_fine():\n    assert True\n"
    ),
    "tests/test_gone.py": "while True:\n    pass\n\n\ndef test_it():\n    assert True\n",
}
OUTSIDE = {
    path: "import pathlib\n\n\ndef test_it():\n"
    f"    pathlib.Path('/usr/local/share/mined-{n}').write_text('x')\n"
    for n, path in enumerate(("tests/test_a.py", "tests/test_b.py"))
}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"src/smallshop/__init__.py": "", "README.md": "x"}, "no test modules"),
        ({**FILES, ".gitmodules": '[submodule "x"]\n'}, "submodules"),
        ({"src/smallshop/__init__.py": "", **ODD_TESTS}, "no test passes|before anything"),
        ({"src/smallshop/__init__.py": "", **OUTSIDE}, "no test passes before anything is changed"),
    ],
    ids=["no-tests", "submodules", "failing", "writes-outside"],
)
def test_what_cannot_be_mined_is_one_line_and_leaves_nothing(
    files: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    repository = write(tmp_path / "repository", files)
    out = tmp_path / "set"
    assert run_mine(repository, out) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("proofloop: error: ")
    assert re.search(told, error), error
    assert not out.exists()
    assert not Path("/usr/local/share/mined-0").exists()


@pytest.mark.slow
def test_what_hangs_is_named_and_set_aside(tmp_path: Path) -> None:
    told: list[str] = []
    config = MineConfig(
        max_tasks=1, workers=1, kinds=(Kind.BODY,), max_tests_s=0.5, max_module_s=8, max_failing=0.5
    )
    repository = write(tmp_path / "repository", {**FILES, **HANGS})
    summary = mine(repository, tmp_path / "set", config, python=PYTHON, say=told.append)
    assert summary.num_tasks == 1
    hanging = {f"tests/test_hangs.py::test_{name}" for name in ("spins", "waits", "swallows")}
    assert {test for test, why in summary.set_aside.items() if why == "hanging"} == hanging
    assert any(line.startswith("hanging, set aside: tests/test_hangs.py::") for line in told)
    assert "tests/test_gone.py: hangs, or takes over 8 s (mine.max_module_s); left out" in told


def test_test_modules_may_import_each_other(tmp_path: Path) -> None:
    again = "from test_rebate import RebateTest\n\n\nclass AgainTest(RebateTest):\n    pass\n"
    repository = write(tmp_path / "repository", {**FILES, "tests/test_again.py": again})
    config = MineConfig(
        max_tasks=1, workers=1, kinds=(Kind.BODY,),
        tests=("tests/test_rebate.py", "tests/test_again.py"),
    )  # fmt: skip
    assert mine(repository, tmp_path / "set", config, python=PYTHON).num_tasks == 1
    environment = HarborEnvironment(tmp_path / "set")
    tests = project_tests(environment.set, environment.rows[0].task)
    assert [module.path for module in tests.helpers] == ["tests/test_rebate.py"]
    assert visible_of(environment.set, environment.rows[0].task) == ()


def test_a_module_in_portions_tells_what_it_tells_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = checkout(tmp_path / "repository")
    found: list[Baseline] = []
    with Benches(2) as benches:
        for least_bytes in (1 << 20, 1):
            monkeypatch.setattr(portions, "_LEAST_BYTES", least_bytes)
            out = tmp_path / str(least_bytes)
            found.append(prepare(repository, out, CONFIG, PYTHON, benches, lambda text: None)[2])
    whole, cut = found
    for baseline in found:
        assert any(len(module.tests) > 1 for module in baseline.modules)
    assert (cut.functions, cut.loading, cut.lines) == (whole.functions, whole.loading, whole.lines)
    assert [_but_for_seconds(m) for m in cut.modules] == [
        _but_for_seconds(m) for m in whole.modules
    ]


def _but_for_seconds(module: KnownModule) -> KnownModule:
    tests = tuple(msgspec.structs.replace(test, seconds=0.0) for test in module.tests)
    return msgspec.structs.replace(module, tests=tests)


def test_packed_it_is_the_same_set_in_less_room(
    made: tuple[Path, Path, Summary], tmp_path: Path
) -> None:
    repository, out, summary = made
    tasks = [row.task for row in HarborEnvironment(out).rows]
    small = tmp_path / "set"
    shutil.copytree(out, small, symlinks=True)
    packed = mine(repository, small, msgspec.structs.replace(CONFIG, format=(Format.PACKED,)))
    assert packed.num_tasks == summary.num_tasks
    assert list((small / "tasks").iterdir()) == []
    assert packed.disk_bytes_per_task < 4096 < summary.disk_bytes_per_task
    for place in (small, small / "tasks.jsonl.gz"):
        assert [row.task for row in HarborEnvironment(place).rows] == tasks


def test_rows_become_tasks_in_their_own_words(tmp_path: Path) -> None:
    """The last commit's change as a row of another maker, in the state that has it."""
    repository = checkout(tmp_path / "repository")
    patch = subprocess.run(
        ["git", "diff", "HEAD~1", "HEAD", "--", "src"], cwd=repository, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    rows = [
        {"instance_id": name, "patch": text, "problem_statement": "Orders from 50 get no rebate.",
         "FAIL_TO_PASS": "[]", "PASS_TO_PASS": "[]"}
        for name, text in (("a-1", patch), ("a-2", patch.replace("5000", "4000")), ("a-3", "no"))
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told: list[str] = []
    config = MineConfig(max_tasks=1, workers=1, rows=str(tmp_path / "rows.jsonl"))
    mine(repository, tmp_path / "set", config, python=PYTHON, say=told.append)
    (task,) = (row.task for row in HarborEnvironment(tmp_path / "set").rows)
    assert task.labels.kind == "row"
    assert task.labels.commit == "a-1"
    assert task.instruction == "Orders from 50 get no rebate."
    assert any("row a-2: its patch is not in" in line for line in told)
    assert any("row a-3: its patch is none" in line for line in told)


def test_a_dirty_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = write(tmp_path / "repository", FILES)
    commit(repository, "begin")
    (repository / "src/smallshop/money.py").write_text("x = 1\n")
    assert run_mine(repository, tmp_path / "set") == 2
    assert "dirty checkout" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_what_is_not_a_set_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = write(tmp_path / "repository", FILES)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("x")
    assert run_mine(repository, tmp_path / "set") == 2
    assert "no set of tasks" in capsys.readouterr().err
    assert (tmp_path / "set" / "mine.txt").read_text() == "x"
    assert run_mine(repository, tmp_path / "none", "--resume") == 2
    with pytest.raises(DataError, match=r"set\.json"):
        HarborEnvironment(tmp_path / "set")


@pytest.mark.slow
def test_dependencies_that_cannot_be_installed_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    repository = write(tmp_path / "repository", FILES)
    code = main(["mine", str(repository), "--out", str(tmp_path / "set")])
    assert code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "cannot install" in error
    assert "--python" in error
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
def test_killed_at_any_instant_it_goes_on(tmp_path: Path) -> None:
    """Again and again: nothing recorded is lost, nothing is tried twice, and in the end all tasks
    are there and whole."""
    repository = checkout(tmp_path / "repository")
    out = tmp_path / "set"
    command = [
        sys.executable, "-m", "proofloop", "mine", str(repository), "--out", str(out),
        "--python", PYTHON, "--workers", "2", "--max-tasks", "12", "--horizon", "1,2",
    ]  # fmt: skip
    seen: list[str] = []
    for pause_s in (3.0, 9.0, 6.0, 5.0, 7.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ledger = out / "ledger.jsonl"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        assert lines[: len(seen)] == seen
        seen = lines if not lines or lines[-1].endswith("}") else lines[:-1]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    lines = (out / "ledger.jsonl").read_text().splitlines()
    assert lines[: len(seen)] == seen
    ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == len(set(ids))
    valid = {json.loads(line)["task"] for line in lines} - {""}
    assert len(valid) == 12
    assert {row.task.name for row in HarborEnvironment(out).rows} == valid
