"""A plain cover for graders that run what they are given: no file of this machine is writable, no
network, a pid namespace of its own, capped memory, processes and files, and one clock over it all.

It protects this machine and nobody's verdict.  A peer runs as a user of its own where the caller
is root: the kernel counts root's processes against no limit.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_NOBODY = 65534
_MEMORY_BYTES = 4 << 30
"""What EvalPlus sets for itself; it stops where it may not."""
_ADDRESS_BYTES = 24 << 30
_NUM_PROCESSES = 400
_FOLDERS = ("/usr", "/bin", "/lib", "/lib64", "/etc")


class CoverFailed(Exception):
    """A program that the cover is made of is missing."""


def _prefix(python: Path, shown: Sequence[Path], wall_s: float) -> list[str]:
    """What to write before a command of `python`."""
    for tool in ("bwrap", "prlimit", "setpriv", "timeout"):
        if shutil.which(tool) is None:
            raise CoverFailed(f"{tool} is not installed")
    venv = python.parent.parent
    home = python.resolve().parent.parent  # the interpreter that the environment was made from
    folders = [*map(Path, _FOLDERS), home, venv, *shown]
    # Folders above them are made, not shown: open to the user that it runs as.
    above = dict.fromkeys(str(up) for folder in folders for up in reversed(folder.parents))
    made = [word for up in above if up not in ("/", "/tmp")
            for word in ("--perms", "0755", "--dir", up)]  # fmt: skip
    binds = [word for folder in folders if folder.exists()
             for word in ("--ro-bind", str(folder), str(folder))]  # fmt: skip
    as_nobody: list[str] = []
    if os.geteuid() == 0:
        ids = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        as_nobody = ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return [
        "timeout", "--signal=KILL", str(wall_s),
        "bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--die-with-parent", "--new-session", "--clearenv",
        "--perms", "1777", "--size", str(256 << 20), "--tmpfs", "/tmp", *made, *binds,
        "--proc", "/proc", "--dev", "/dev",
        "--perms", "1777", "--size", str(64 << 20), "--tmpfs", "/dev/shm",
        "--perms", "0777", "--size", str(64 << 20), "--tmpfs", "/scratch", "--chdir", "/scratch",
        "--setenv", "HOME", "/scratch", "--setenv", "PATH", f"{venv}/bin:/usr/bin:/bin",
        "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "OMP_NUM_THREADS", "1",
        "--", *as_nobody,
        "prlimit", f"--data={_MEMORY_BYTES}", f"--as={_ADDRESS_BYTES}", "--core=0",
        f"--nproc={_NUM_PROCESSES}", f"--fsize={64 << 20}", "--nofile=1024", "--cpu=600",
    ]  # fmt: skip


def covered(
    python: Path,
    arguments: Sequence[str],
    *,
    shown: Sequence[Path],
    paths: Sequence[Path],
    wall_s: float,
) -> Iterator[str]:
    """Lines of standard output of `python arguments` under the cover, as they come.

    `shown`: folders it may read beside the system's; `paths`: its PYTHONPATH."""  # fmt: skip
    prefix = _prefix(python, shown, wall_s)
    path = os.pathsep.join(map(str, paths))
    command = [*prefix, "env", f"PYTHONPATH={path}", str(python), "-B", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield from process.stdout
        finally:
            process.kill()
