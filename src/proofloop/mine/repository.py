"""A repository as it is found: its files, its sources, its test modules, how they are configured.

Only read; nothing of it runs here.  What cannot be mined is refused with one line.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from proofloop.core.errors import UserError
from proofloop.mine.pytest_settings import arguments, ini_of, pytest_settings

MAX_FILES, MAX_BYTES = 20_000, 256 << 20
"""Of a repository; a larger one is mined in part, by a checkout of that part."""
_JUNK = {
    ".git", ".hg", ".tox", ".nox", ".venv", "venv", "__pycache__", "node_modules", "build", "dist",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".eggs", ".idea", ".hypothesis",
}  # fmt: skip
_NO_SOURCES = {
    "test", "tests", "testing", "doc", "docs", "example", "examples", "bench", "benchmark",
    "benchmarks", "scripts", "tools", "ci", "tasks", "changelog.d",
}  # fmt: skip
_NO_MODULES = {"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py", "versioneer.py"}
_SHEBANG = re.compile(r"^\s*(?:async\s+)?def test|^\s*class \w*Test|unittest", re.MULTILINE)
_PATTERNS = ("test_*.py", "*_test.py")
"""Pytest's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    root: Path
    name: str
    files: dict[str, bytes]
    """All that belongs to it, by path; links are resolved or left out."""
    executables: frozenset[str]
    modules: tuple[str, ...]
    """Test modules."""
    sources: tuple[str, ...]
    """Python files that may be changed."""
    packages: tuple[str, ...]
    """Top-level packages and modules of the sources, as paths: `src/click`, `six.py`."""
    import_paths: tuple[str, ...]
    ini: str
    """Our configuration of pytest, made of its own."""
    commit: str
    """Of a Git checkout; empty for others."""
    project: Mapping[str, Any]
    """Its `pyproject.toml`."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """What an answer may write."""
        return tuple(p if p.endswith(".py") else f"{p}/**" for p in self.packages)


def read_repository(root: Path, tests: Sequence[str], leave_out: Sequence[str]) -> Repository:
    """Raises UserError."""
    if not root.is_dir():
        raise UserError(f"{root}: no such directory; give a checkout or an unpacked distribution")
    commit = _check_git(root)
    files, executables = _read_files(root, is_checkout=bool(commit))
    project = _pyproject(root, files)
    settings = pytest_settings(files, project)
    found, meant = _test_modules(files, settings)
    chosen, ignored = arguments(settings)
    modules = sorted(
        path
        for path in (found if tests else meant)
        if (not tests or _matches(path, tests)) and not _matches(path, (*leave_out, *ignored))
    )
    if not modules:
        why = "none of its test modules matches mine.tests" if found else (
            "no test modules (test_*.py, *_test.py) in it; source distributions often come "
            "without tests, a checkout has them"
        )  # fmt: skip
        raise UserError(f"{root}: {why}")
    packages = _packages(files, modules)
    if not packages:
        raise UserError(f"{root}: no Python package or module beside its tests")
    sources = sorted(
        path
        for path in files
        if path.endswith(".py")
        and any(path == p or path.startswith(f"{p}/") for p in packages)
        and not _in_tests(path, modules)
        and path not in found
    )
    return Repository(
        root=root,
        name=_name(root, project),
        files=files,
        executables=executables,
        modules=tuple(modules),
        sources=tuple(sources),
        packages=packages,
        import_paths=_import_paths(files, packages, modules, settings),
        ini=ini_of(settings, chosen),
        commit=commit,
        project=project,
    )


def git(root: Path, *arguments: str) -> str:
    """What git says; hooks, pagers and configured programs are off.  Raises UserError."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=",
             "-c", "core.quotePath=false", "-c", f"safe.directory={root.resolve()}",
             "--no-optional-locks", *arguments],
            capture_output=True, timeout=120, check=True,
            env={"PATH": os.environ.get("PATH", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/",
                 "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError(f"{root}: a Git checkout, and there is no git to read it with") from None
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip()
        raise UserError(f"{root}: git {arguments[0]} failed: {said or error}") from error
    return done.stdout.decode("utf-8", "surrogateescape")


def _check_git(root: Path) -> str:
    """The commit of a clean checkout; empty for what is none."""
    if (root / ".gitmodules").is_file() and (root / ".gitmodules").read_text().strip():
        raise UserError(f"{root}: has submodules, which are not mined; unpack them into the tree")
    if not (root / ".git").exists():
        return ""
    changed = git(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        raise UserError(
            f"{root}: a dirty checkout ({len(changed)} changed files, such as "
            f"{changed[0][3:]}); commit or stash them, so that tasks name one state"
        )
    return git(root, "rev-parse", "HEAD").strip()


def _read_files(root: Path, *, is_checkout: bool) -> tuple[dict[str, bytes], frozenset[str]]:
    names = git(root, "ls-files", "-z").split("\0") if is_checkout else _walk(root)
    files: dict[str, bytes] = {}
    executables: set[str] = set()
    total = 0
    for name in sorted(filter(None, names)):
        path = root / name
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            continue
        if not path.is_file():
            continue
        total += path.stat().st_size
        if len(files) >= MAX_FILES or total > MAX_BYTES:
            raise UserError(
                f"{root}: over {MAX_FILES} files or {MAX_BYTES >> 20} MiB, too large to be mined "
                "whole; make a directory of the part that you want"
            )
        files[name] = path.read_bytes()
        if os.access(path, os.X_OK):
            executables.add(name)
    return files, frozenset(executables)


def _walk(root: Path) -> Iterator[str]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(
            f for f in folders
            if f not in _JUNK and not f.endswith(".egg-info")
            and not (Path(place, f) / "pyvenv.cfg").exists()
        )  # fmt: skip
        for name in names:
            if not name.endswith((".pyc", ".pyo")):
                yield Path(place, name).relative_to(root).as_posix()


def _pyproject(root: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        return tomllib.loads(files.get("pyproject.toml", b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{root / 'pyproject.toml'}: cannot be read ({error})") from error


def _test_modules(
    files: Mapping[str, bytes], settings: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """All, and those that pytest would collect if it were called without arguments.  `tests.py`
    is one only where there is no other: a package may have a module `tests` that tests nothing."""
    patterns = settings.get("python_files", " ".join(_PATTERNS)).split()
    found = [path for path, text in files.items() if _is_module(path, text, patterns)]
    if not found:
        found = [path for path, text in files.items() if _is_module(path, text, ("tests.py",))]
    places = [place.rstrip("/") for place in settings.get("testpaths", "").split()]
    return found, [path for path in found if _matches(path, places)] or found


def _is_module(path: str, content: bytes, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    if not name.endswith(".py") or not any(fnmatch(name, pattern) for pattern in patterns):
        return False
    return _SHEBANG.search(content.decode(errors="replace")) is not None


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(path == p or fnmatch(path, p) or path.startswith(f"{p}/") for p in patterns)


def _packages(files: Mapping[str, bytes], modules: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for above in ("src/", "lib/", ""):
        for path in sorted(files):
            rest = path.removeprefix(above)
            parts = rest.split("/")
            if not path.startswith(above) or parts[0].lower() in _NO_SOURCES:
                continue
            if len(parts) == 2 and parts[1] == "__init__.py":
                found.append(above + parts[0])
            elif (
                len(parts) == 1
                and rest.endswith(".py")
                and rest not in _NO_MODULES
                and path not in modules
                and not fnmatch(rest, "test*.py")
            ):
                found.append(path)
        if found:
            break
    return tuple(found)


def _in_tests(path: str, modules: Sequence[str]) -> bool:
    """Helpers of tests, and what is in no package's own right."""
    parts = path.split("/")[:-1]
    return any(part in ("test", "tests") for part in parts) or path.endswith("conftest.py")


def _import_paths(
    files: Mapping[str, bytes],
    packages: Sequence[str],
    modules: Sequence[str],
    settings: Mapping[str, str],
) -> tuple[str, ...]:
    """Where packages lie, and what pytest would put before them for its test modules."""
    paths = dict.fromkeys(str(PurePosixPath(package).parent) for package in packages)
    paths |= dict.fromkeys(settings.get("pythonpath", "").split())
    for module in modules:
        folder = PurePosixPath(module).parent
        while str(folder) != "." and f"{folder}/__init__.py" in files:
            folder = folder.parent
        paths[str(folder)] = None
    return tuple(paths)


def _name(root: Path, project: Mapping[str, Any]) -> str:
    named = project.get("project", {}).get("name") or re.split(r"-\d", root.resolve().name)[0]
    return re.sub(r"[^a-z0-9]+", "-", str(named).lower()).strip("-") or "repository"
