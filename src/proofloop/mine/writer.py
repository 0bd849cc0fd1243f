"""Writing a set: what all tasks share, once; then a task at a time, each whole or not at all."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proofloop.core.codec import to_json
from proofloop.core.errors import UserError
from proofloop.envs.mined_set import (
    INI,
    REPO,
    SUITE,
    TASKS,
    Labels,
    MinedTask,
    SetInfo,
    selected,
)
from proofloop.mine.environment import write_tree
from proofloop.mine.repository import Repository

GRADE = Path(__file__).with_name("grade.py")
IMAGE = "image"

_TEST_SH = """#!/bin/sh
# Judges /app by the hidden tests; the reward goes to /logs/verifier.
exec python3 "$(dirname "$0")/grade.py" "$(dirname "$0")/tests.json" "${LOGS:-/logs/verifier}"
"""
_SOLVE_SH = """#!/bin/sh
cd "${{APP:-/app}}" && patch -p1 <<'PROOFLOOP_PATCH'
{patch}PROOFLOOP_PATCH
"""
_DOCKERFILE = """FROM {image}
RUN --mount=type=bind,source=bug.patch,target=/tmp/bug.patch patch -p1 < /tmp/bug.patch
RUN rm -f {hidden}
USER agent
"""
_BASE_DOCKERFILE = """# docker build -f image/Dockerfile -t {image} .     (in the set's directory)
FROM python:{version}-slim
RUN apt-get update && apt-get install -y --no-install-recommends patch && useradd -m agent
COPY image/requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir -r /tmp/requirements.txt
COPY {repo}/ /opt/proofloop/{repo}/
COPY {suite}/ /opt/proofloop/{suite}/
COPY set.json /opt/proofloop/
RUN cp -r /opt/proofloop/{repo} /app && cp -r /opt/proofloop/{suite}/. /app/ \\
 && chown -R agent /app && chmod -R go-rwx /opt/proofloop
ENV PYTHONPATH={paths}
WORKDIR /app
"""


def write_shared(out: Path, repository: Repository, generated: Mapping[str, bytes]) -> None:
    """`repo/` and `suite/`."""
    files = {**repository.files, **generated, INI: repository.ini.encode()}
    for module in repository.modules:
        del files[module]
    write_tree(out / REPO, files, repository.executables)
    modules = {module: repository.files[module] for module in repository.modules}
    write_tree(out / SUITE, modules, frozenset())
    (out / TASKS).mkdir()


def write_image(out: Path, info: SetInfo, python: Path) -> None:
    """How to build the container that the tasks start from, for harnesses that use one."""
    folder = out / IMAGE
    folder.mkdir(exist_ok=True)
    frozen = subprocess.run(
        [str(python), "-m", "pip", "freeze", "--exclude-editable"],
        capture_output=True, text=True, check=False, timeout=120,
    ).stdout  # fmt: skip
    lines = [line for line in frozen.splitlines() if "@ file:" not in line]
    version = subprocess.run(
        [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.strip()  # fmt: skip
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    (folder / "Dockerfile").write_text(
        _BASE_DOCKERFILE.format(
            image=image_of(info),
            version=version,
            repo=REPO,
            suite=SUITE,
            paths=":".join(os.path.normpath(f"/app/{p}") for p in info.import_paths),
        )
    )
    (folder / "test.sh").write_text(_TEST_SH)
    (folder / "test.sh").chmod(0o755)
    shutil.copyfile(GRADE, folder / "grade.py")
    (out / ".dockerignore").write_text("environment\ntasks\nmining\n")


def image_of(info: SetInfo) -> str:
    return f"proofloop-mined/{info.name}:{info.digest[:12]}"


def write_task(out: Path, info: SetInfo, ids: Sequence[str], task: MinedTask) -> None:
    """Over an older one of the same name.  What all tasks share is linked, not copied."""
    folder = out / TASKS / f".{task.name}"
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("environment", "tests", "solution"):
        (folder / part).mkdir(parents=True)
    hidden = {test.partition("::")[0] for test in selected(ids, task.tests.fail_to_pass)}
    dockerfile = _DOCKERFILE.format(image=image_of(info), hidden=" ".join(sorted(hidden)))
    _write(folder / "task.toml", _toml(task))
    _write(folder / "instruction.md", task.instruction)
    _write(folder / "environment" / "Dockerfile", dockerfile)
    _write(folder / "environment" / "bug.patch", task.bug)
    (folder / "tests" / "tests.json").write_bytes(to_json(task.tests))
    for name in ("test.sh", "grade.py"):
        _link(out / IMAGE / name, folder / "tests" / name)
    _write(folder / "solution" / "solve.sh", _SOLVE_SH.format(patch=task.oracle))
    target = out / TASKS / task.name
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or too many of them
        shutil.copy2(source, target)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def _toml(task: MinedTask) -> str:
    labels = task.labels
    return (
        'schema_version = "1.4"\n\n'
        f'[task]\nname = "proofloop/{task.name}"\n\n'
        f"[metadata.proofloop]\n{_table(labels)}\n"
        '[environment]\nworkdir = "/app"\nnetwork_mode = "none"\n\n'
        '[agent]\nuser = "agent"\n\n'
        '[verifier]\ntimeout_sec = 600.0\nuser = "root"\n'
    )


def _table(labels: Labels) -> str:
    """Empty values are left out; JSON's strings, numbers and lists are TOML's."""
    lines: list[str] = []
    for name in labels.__struct_fields__:
        value: Any = getattr(labels, name)
        if value not in ("", ()):
            lines.append(f"{name} = {json.dumps(value)}\n")
    return "".join(lines)


def clear_for(out: Path) -> None:
    """Make `out` an empty directory of ours, with a mark.  Raises UserError where it holds
    something that is not ours."""
    mark = out / MARK
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise UserError(f"{out}: not empty, and no set of tasks; name another directory")
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        if path != mark:
            remove(path)
    mark.touch()


MARK = ".making"
"""A set that is not yet one."""


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
