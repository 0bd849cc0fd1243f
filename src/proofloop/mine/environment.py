"""The environment of a repository: made once, with the network; used ever after without.

A virtual environment with the project's dependencies and its metadata, but without its code: an
installed copy beside the tree would be the answer to every task.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofloop.core.errors import UserError
from proofloop.mine.repository import Repository

_EXTRAS = ("test", "tests", "testing")
_REQUIREMENTS = re.compile(
    r"^(?:requirements[-_/])?(?:test|tests|testing)(?:[-_]requirements)?\.txt$"
    r"|^requirements/(?:test|tests)\.txt$|^requirements\.txt$|^test-requirements\.txt$"
)
_PIP_S = 900
_NO_PLUGINS = {
    "xdist", "xdist.looponfail", "pytest_cov", "cov", "randomly", "random_order", "benchmark",
    "pytest_timeout", "timeout", "rerunfailures", "forked", "sugar", "html", "metadata",
    "hypothesispytest", "xvfb", "codspeed", "doctestplus", "recording",
}  # fmt: skip
"""That reorder tests, run them elsewhere, or write files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    python: Path
    plugins: tuple[str, ...]
    """Modules of installed plugins of pytest."""
    generated: dict[str, bytes]
    """Files that the build adds to the packages (a `_version.py`), by path in the tree."""
    notes: tuple[str, ...]
    """What could not be installed, and is not fatal."""


def build(repository: Repository, folder: Path, extra: Sequence[str], base: str) -> Installed:
    """In `folder`, which must not be there.  Raises UserError."""
    _run([base or sys.executable, "-m", "venv", str(folder)], "a virtual environment")
    python = folder / "bin" / "python"
    notes: list[str] = []
    generated: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, repository.name)
        write_tree(copy, repository.files, repository.executables)
        is_project = bool({"pyproject.toml", "setup.py", "setup.cfg"} & set(repository.files))
        own = [str(copy)] if is_project else []
        needed, wishes = ["pytest>=8", *extra], _wishes(repository, copy)
        try:  # at once, which takes half the time
            _install(python, [*own, *needed, *(a for wish in wishes for a in wish)], "all")
        except UserError:
            if own:
                _install(python, own, "its own dependencies")
            for arguments in wishes:
                try:
                    _install(python, arguments, "its test requirements")
                except UserError as error:
                    notes.append(str(error))
            _install(python, needed, "pytest")
    generated |= _without_code(repository, folder)
    _check_pytest(repository, python)
    return Installed(
        python=python,
        plugins=_plugins(python),
        generated=generated,
        notes=tuple(notes),
    )


def adopt(repository: Repository, folder: Path, python: str) -> Installed:
    """An environment that is there already: as it is, or, where the project is installed in it, a
    copy in `folder` without the project's code.  Raises UserError."""
    ask = "import site, json; print(json.dumps(site.getsitepackages()))"
    what = f"the interpreter {python}"
    sites = [Path(site) for site in json.loads(_run([python, "-I", "-c", ask], what))]
    own = {Path(package).name for package in repository.packages}
    if not any((site / name).exists() for site in sites for name in own):
        chosen = Path(python).absolute()
        plugins = _plugins(chosen, repository)
        return Installed(python=chosen, plugins=plugins, generated={}, notes=())
    _run([python, "-m", "venv", "--without-pip", str(folder)], "a virtual environment")
    target = next((folder / "lib").glob("python*")) / "site-packages"

    def left_out(place: str, names: list[str]) -> list[str]:
        return [name for name in names if name in own and Path(place) in sites]

    for site in sites:
        if site.is_dir():
            shutil.copytree(site, target, dirs_exist_ok=True, symlinks=True, ignore=left_out)
    chosen = folder / "bin" / "python"
    _check_pytest(repository, chosen)
    plugins = _plugins(chosen, repository)
    return Installed(python=chosen, plugins=plugins, generated={}, notes=())


def write_tree(folder: Path, files: Mapping[str, bytes], executables: frozenset[str]) -> None:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        if path in executables:
            place.chmod(0o755)


def _wishes(repository: Repository, copy: Path) -> list[list[str]]:
    """Arguments of pip for each place where a project says what its tests need."""
    wishes: list[list[str]] = []
    project: Mapping[str, Any] = repository.project.get("project", {})
    for name in project.get("optional-dependencies", {}):
        if name.lower() in _EXTRAS:
            wishes.append([f"{copy}[{name}]"])
    groups = repository.project.get("dependency-groups", {})
    for name in groups:
        if name.lower() in _EXTRAS:
            found = _group(groups, name, ())
            wishes += [found] if found else []
    for path in repository.files:
        if _REQUIREMENTS.match(path):
            wishes.append(["-r", str(copy / path)])
    return wishes


def _group(groups: Mapping[str, Any], name: str, above: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for entry in groups.get(name, []):
        if isinstance(entry, str):
            found.append(entry)
        elif isinstance(entry, dict):
            inner = str(entry.get("include-group", ""))
            found += [] if inner in above else _group(groups, inner, (*above, name))
    return found


def _install(python: Path, arguments: Sequence[str], what: str) -> None:
    """Raises UserError."""
    _run(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check",
         "--no-warn-script-location", *arguments],
        what,
    )  # fmt: skip


def _run(command: Sequence[str], what: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_S, check=False, cwd="/"
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{what}: {command[0]} cannot be run ({error})") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines
        last = errors[-1][:300] if errors else f"status {done.returncode}"
        raise UserError(
            f"cannot install {what}: {last}; install them yourself and give that environment's "
            "interpreter with --python"
        )
    return done.stdout


def _without_code(repository: Repository, folder: Path) -> dict[str, bytes]:
    """Take the project's code out of the environment; its metadata stays.  What the build made
    that the tree lacks is returned."""
    generated: dict[str, bytes] = {}
    for site in (folder / "lib").glob("python*/site-packages"):
        for info in site.glob("*.dist-info"):
            origin = info / "direct_url.json"
            if not origin.exists() or '"file://' not in origin.read_text():
                continue
            for line in (info / "RECORD").read_text().splitlines():
                name = line.rpartition(",")[0].rpartition(",")[0].strip('"')
                place = (site / name).resolve()
                if name.startswith(info.name) or not place.is_file():
                    continue
                if name.endswith(".py") and not name.startswith(".."):
                    generated |= _missing(repository, name, place)
                place.unlink()
            origin.unlink()
        for package in repository.packages:
            shutil.rmtree(site / Path(package).name, ignore_errors=True)
    return generated


def _check_pytest(repository: Repository, python: Path) -> None:
    """Raises UserError where pytest does not start without the project's own code."""
    try:
        _run([str(python), "-I", "-c", "import pytest"], "pytest")
    except UserError as error:
        raise UserError(
            f"{repository.root}: pytest itself is made of {repository.name}, so an installed copy, "
            "which would be the answer, cannot be taken out of its environment; it cannot be mined"
        ) from error


def _missing(repository: Repository, name: str, place: Path) -> dict[str, bytes]:
    for package in repository.packages:
        if name.partition("/")[0] == Path(package).name:
            above = str(Path(package).parent)
            path = name if above == "." else f"{above}/{name}"
            return {} if path in repository.files else {path: place.read_bytes()}
    return {}


def _plugins(python: Path, names_them: Repository | None = None) -> tuple[str, ...]:
    """Modules of installed plugins.  `names_them`: an environment that serves other ends, too, has
    plugins that are nothing to this project; those count that its files name."""
    ask = (
        "from importlib.metadata import entry_points as e\n"
        "print(*(f'{p.name}={p.module}={p.dist.name}' for p in e(group='pytest11')))"
    )
    found = [line.split("=") for line in _run([str(python), "-I", "-c", ask], "pytest").split()]
    plugins = [(module, dist) for name, module, dist in found if name not in _NO_PLUGINS]
    if names_them is not None:
        texts = b"\n".join(
            content
            for path, content in names_them.files.items()
            if path.endswith((".toml", ".cfg", ".ini", "conftest.py")) or "requirement" in path
        ).decode(errors="replace")
        plugins = [(module, dist) for module, dist in plugins if dist in texts]
    return tuple(sorted(module for module, _ in plugins))
