"""What a tier puts around a server process before it starts: nothing, bubblewrap or a container.

Pure command lines.  Each shell shows the system's programs and libraries, the interpreter and our
own source, read-only at their own paths, and nothing else; there is no network.  What a server
does inside (namespaces, Landlock, seccomp) comes on top and is the same at every tier.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier

ENGINE_VARIABLE = "PROOFLOOP_CONTAINER"
"""A container engine and options for its `run`, as in `docker --runtime runsc`."""
IMAGE_VARIABLE = "PROOFLOOP_IMAGE"
EMPTY_IMAGE = "proofloop-empty"
"""Any image will do, for nothing in it is used: the interpreter is this machine's own."""
MEETING_POINT = "/control"
"""Where a container finds the folder with the socket on which it reports."""
_ENGINES = ("podman", "docker")
_SOURCE = Path(__file__).resolve().parents[1]
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store",
    "/etc/ld.so.cache", "/etc/alternatives",
)  # fmt: skip
_MAX_PROCESSES = 4096
_NOBODY = "65534"


class TierRefused(IsolationError):
    """A tier cannot be had here."""

    def __init__(self, tier: Tier, reason: str) -> None:
        super().__init__(
            f"isolation tier {tier} cannot be had on this machine: {reason}; "
            "`proofloop doctor` says more"
        )
        self.reason = reason


def interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def shown_paths(more: Sequence[str] = ()) -> list[str]:
    """What a server needs to see, and `more`."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    ours = [sys.base_prefix, sys.base_exec_prefix, interpreter(), *libraries, *more]
    ours += [str(_SOURCE / name) for name in ("core", "sandbox")]
    wanted = {*_SYSTEM, *(os.path.realpath(path) for path in ours if path)}
    if "/" in more:
        return ["/"]
    kept: list[str] = []
    for path in sorted(filter(os.path.exists, wanted)):
        if not any(path.startswith(above + "/") and not os.path.islink(above) for above in kept):
            kept.append(path)
    return kept


def bubblewrap(env: Mapping[str, str], shown: Sequence[str]) -> list[str]:
    """Raises IsolationError where it is not installed.

    Not `--die-with-parent`: that binds it to the thread that started it, and threads come and go;
    the server itself watches its owner."""
    program = shutil.which("bwrap")
    if program is None:
        raise TierRefused(
            Tier.T2, "bubblewrap is not installed (on most systems the package `bubblewrap`)"
        )
    command = [program, "--unshare-all", "--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL"]
    command += ["--new-session", "--clearenv"]
    for name, value in env.items():
        command += ["--setenv", name, value]
    for path in shown:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind", path, path]
    if "/" in shown:
        # Of a /proc made by bubblewrap parts are covered, and then the kernel grants no other.
        # The network is each command's own, or not (`rooms`).
        command += ["--bind", "/proc", "/proc", "--dev", "/dev", "--share-net"]
        return [*command, "--chdir", "/", "--"]
    command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/tmp"]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def container_engine() -> list[str]:
    """The engine and more options for its `run`.  Raises IsolationError where there is none."""
    chosen = shlex.split(os.environ.get(ENGINE_VARIABLE, ""))
    if chosen:
        if shutil.which(chosen[0]) is None:
            raise TierRefused(
                Tier.T3, f"{ENGINE_VARIABLE} names {chosen[0]}, which is not installed"
            )
        return chosen
    for name in _ENGINES:
        if shutil.which(name) is not None:
            return [name]
    raise TierRefused(
        Tier.T3,
        f"neither podman nor docker is installed (or name an engine in {ENGINE_VARIABLE})",
    )


def image() -> str:
    return os.environ.get(IMAGE_VARIABLE) or EMPTY_IMAGE


def image_advice(engine: str) -> str:
    """What to do where the engine does not have the image."""
    name = image()
    if name != EMPTY_IMAGE:
        return f"{engine} has no image {name}, which {IMAGE_VARIABLE} names"
    return (
        f"{engine} has no image {name}; make it once, of nothing: "
        f"`tar c -T /dev/null | {engine} import - {name}` (or name another in {IMAGE_VARIABLE})"
    )


def container(
    env: Mapping[str, str], shown: Iterable[str], *, name: str, meeting_folder: str
) -> list[str]:
    """Raises IsolationError where there is no engine.

    SELinux labels are switched off for it, because with them it could read no file of ours."""
    engine, *more = container_engine()
    command = [engine, "run", "--rm", "--name", name, "--pull", "never", "--network", "none"]
    command += ["--read-only", "--cap-drop", "ALL", "--pids-limit", str(_MAX_PROCESSES)]
    command += ["--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    command += ["--user", f"{_NOBODY}:{_NOBODY}", "--workdir", "/", "--entrypoint", ""]
    command += ["--tmpfs", "/tmp:size=64k,mode=555"]
    for variable, value in env.items():
        command += ["--env", f"{variable}={value}"]
    for path in shown:
        command += ["--volume", f"{os.path.realpath(path)}:{path}:ro"]
    command += ["--volume", f"{meeting_folder}:{MEETING_POINT}", *more]
    return [*command, image()]
