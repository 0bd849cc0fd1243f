"""What must stay true of the whole package: layers, weight, size, and that it is documented."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "proofloop"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 450
MAX_PACKAGES = 40
HEAVY = ("torch", "matplotlib", "transformers")


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages in a fresh interpreter after importing `modules`."""
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_no_module_looks_up() -> None:
    """The contract of pyproject.toml, by import-linter."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("layer", ["core", "store", "sandbox", "envs", "verify", "measure"])
def test_these_layers_load_nothing_heavy(layer: str) -> None:
    names = [name_of(path) for path in (PACKAGE / layer).rglob("*.py")]
    # What only a confined child or a fork-server runs acts when it is imported.
    names = [n for n in names if n not in {"proofloop.sandbox.boot", "proofloop.sandbox.zygote"}]
    assert names
    assert loaded_by(*names) & set(HEAVY) == set()


def test_recipes_and_verification_load_no_torch() -> None:
    names = ("checks", "config", "environments", "manifest", "recipe", "verification")
    assert loaded_by(*(f"proofloop.runs.{name}" for name in names)) & set(HEAVY) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_and_fits_in_a_head(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "no module docstring"
    assert len(source.splitlines()) <= MAX_LINES


def test_a_base_install_is_at_most_forty_packages() -> None:
    """Walks the requirements of what is installed here.  The same count, and Proofloop itself, on
    a fresh machine: `pip install --dry-run --ignore-installed --quiet --report - . | jq '.install
    | length'`."""
    found = base_packages()
    assert {"torch", "numpy", "click"} <= found
    assert len(found) <= MAX_PACKAGES, sorted(found)


def base_packages() -> set[str]:
    """Everything that the base dependencies pull in on this platform, themselves included."""
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    done: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        done.add(name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or []:
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)
    return done


def test_the_repository_names_no_machine() -> None:
    """No absolute path of somebody's machine, in code or in pages."""
    wanted = re.compile(r"/(?:home|Users)/[a-z]|/root/|/work/")
    for folder in ("src", "docs", "bench", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".toml", ".jinja"}:
                assert not wanted.search(path.read_text(encoding="utf-8")), path
