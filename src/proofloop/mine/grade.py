"""Judges a task in a container: `python grade.py TESTS_JSON LOGS_DIR`.  Standard library only.

The weaker of two judges, for harnesses that run Harbor tasks in containers: no perturbed tests, no
confinement but the container's.  `proofloop verify harbor` is the other.  The project is rebuilt
from its pristine copy and those files that an answer may write; the tests come from the copy that
only root can read; outcomes come over a pipe and not from the output.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PLUGIN = """
import json, os
class P:
    def __init__(self):
        self.o = {}
    def pytest_runtest_logreport(self, report):
        self.o.setdefault(report.nodeid, []).append(report.outcome)
    def pytest_sessionfinish(self):
        with os.fdopen(int(os.environ.pop("PROOFLOOP_FD")), "w") as f:
            json.dump(self.o, f)
import sys, pytest
sys.exit(pytest.main(sys.argv[1:], plugins=[P()]))
"""


def numbers(text: str) -> Iterator[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def pattern(allowed: str) -> re.Pattern[str]:
    text = re.escape(allowed)
    return re.compile(text.replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))


def rebuilt(tree: Path, app: Path, home: Path, allowed: Sequence[str]) -> None:
    """The pristine project, the answer's files, the pristine tests, in this order."""
    shutil.copytree(home / "repo", tree)
    patterns = [pattern(text) for text in allowed]
    for path in app.rglob("*.py"):
        name = path.relative_to(app).as_posix()
        is_plain = path.is_file() and not path.is_symlink() and path.name != "conftest.py"
        if is_plain and any(p.fullmatch(name) for p in patterns):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, tree / name)
    shutil.copytree(home / "suite", tree, dirs_exist_ok=True)


def run(tree: Path, info: dict[str, Any], tests: Sequence[str]) -> set[str]:
    """Tests that passed; none where the run did not end as it must."""
    reader, writer = os.pipe()
    env = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PROOFLOOP_FD": str(writer),
        "PYTHONPATH": os.pathsep.join(str(tree / path) for path in info["import_paths"]),
    }
    command = [sys.executable, "-c", PLUGIN, "-q", "-c", ".proofloop-pytest.ini"]
    command += [f"--rootdir={tree}", "--import-mode=importlib", "-p", "no:cacheprovider"]
    for plugin in info["plugins"]:
        command += ["-p", plugin]
    process = subprocess.Popen([*command, *tests], cwd=tree, env=env, pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    if process.wait() not in (0, 1):
        return set()
    outcomes: dict[str, list[str]] = json.loads(text or "{}")
    return {t for t, o in outcomes.items() if len(o) >= 3 and set(o) == {"passed"}}


def main(tests_json: str, logs: str) -> None:
    app = Path(os.environ.get("PROOFLOOP_APP", "/app"))
    home = Path(os.environ.get("PROOFLOOP_SET", "/opt/proofloop"))
    info: dict[str, Any] = json.loads((home / "set.json").read_text())
    ids = [f"{m['path']}::{name}" for m in info["modules"] for name in m["names"]]
    wanted: dict[str, str] = json.loads(Path(tests_json).read_text())
    failing = [ids[n] for n in numbers(wanted["fail_to_pass"])]
    passing = [ids[n] for n in numbers(wanted["pass_to_pass"])]
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, "tree")
        rebuilt(tree, app, home, info["allowed"])
        passed = run(tree, info, failing + passing)
    mended = sum(test in passed for test in failing) / len(failing)
    kept = sum(test in passed for test in passing) / len(passing) if passing else 1.0
    reward = {
        "reward": float(mended == kept == 1.0),
        "fail_to_pass": mended,
        "pass_to_pass": kept,
        "staged": mended * kept,
    }
    Path(logs).mkdir(parents=True, exist_ok=True)
    Path(logs, "reward.json").write_text(json.dumps(reward))
    Path(logs, "reward.txt").write_text(str(reward["reward"]))


if __name__ == "__main__":
    main(*sys.argv[1:3])
