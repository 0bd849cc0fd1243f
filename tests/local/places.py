"""Other places to run a script in: as an ordinary user, and within a container's limits."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

_SRC = Path(__file__).parents[2] / "src"
_USER = 4321
_PATHS = os.pathsep.join(map(str, (_SRC, Path(__file__).parent, Path(msgspec.__file__).parents[1])))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": _PATHS, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}


def run(prefix: list[str], script: str, *arguments: str, python: str = "") -> str:
    """What the script printed; it must succeed."""
    command = [*prefix, python or sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, env=environment(), cwd="/", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def run_as_ordinary_user(script: str, *arguments: str) -> str:
    if os.getuid() != 0:
        return run([], script, *arguments)
    return run([*_as_user()], script, *arguments, python=_reachable_python())


def _as_user() -> tuple[str, ...]:
    ids = (f"--reuid={_USER}", f"--regid={_USER}")
    return ("setpriv", *ids, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")


def _reachable_python() -> str:
    """Of our version, for a user who may not enter the superuser's folders."""
    trial = "import msgspec, sys; from proofloop.sandbox import probe; print(sys.version_info[:2])"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        # From a shell, whose privileges are gone by then: `setpriv` itself still has them.
        command = [*_as_user(), "sh", "-c", f"'{python}' -c '{trial}'"]
        done = subprocess.run(command, env=environment(), cwd="/", capture_output=True, text=True)
        if done.stdout.strip() == str(sys.version_info[:2]):
            return python
    pytest.skip("no interpreter of this version that an ordinary user may run, with our packages")


def in_user_namespace() -> list[str]:
    """The prefix of a command that is root in a user namespace of its own."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    return prefix
