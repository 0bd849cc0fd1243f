"""Compiles this folder's C for this very processor, once, into the user's cache.

A library is loaded only from a folder that nobody else can write to.
"""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(name) for name in ("decode.c", "train.c"))
_HEADERS = (Path(__file__).with_name("vectors.h"),)
OFF = "PROOFLOOP_NO_KERNEL"
"""An environment variable that is set where the kernel is not to be used."""
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=off", "-shared", "-fPIC")
_FOR_THIS_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
_COMPILE_S = 120


class KernelUnavailable(Exception):
    """Why there is no kernel here, in a line."""


@functools.cache
def library_path() -> Path:
    """Of the compiled kernel.  Raises KernelUnavailable."""
    if os.environ.get(OFF):
        raise KernelUnavailable(f"{OFF} is set")
    compiler = _compiler()
    folder = _folder()
    path = folder / f"kernels-{_key(compiler)}.so"
    if not _is_ours(path):
        _compile(compiler, path)
    return path


def _compiler() -> str:
    named = os.environ.get("CC")
    for name in (named,) if named else _COMPILERS:
        if found := shutil.which(name):
            return found
    raise KernelUnavailable(
        f"no C compiler ({named or ', '.join(_COMPILERS)}); install one, for example gcc, for "
        "faster sampling and training"
    )


def _key(compiler: str) -> str:
    """Of all that the result depends on."""
    sources = [path.read_bytes() for path in (*SOURCES, *_HEADERS)]
    parts = (*sources, compiler.encode(), *map(str.encode, _FLAGS), _processor().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """Its name and what it can do: a home folder may be on several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    about = ("model name", "flags", "Features", "CPU part")
    known = sorted({line for line in lines if line.startswith(about)})
    return "\n".join((platform.machine(), platform.processor(), *known))


def _folder() -> Path:
    """In the user's cache, or a new one where that cannot be written or is not theirs alone."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "proofloop" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _is_ours(folder) and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="proofloop-kernel-"))


def _is_ours(path: Path) -> bool:
    """Whether it exists, is this user's (or root's), and only they can write to it."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o022


def _compile(compiler: str, path: Path) -> None:
    """By rename: several processes may do so at once."""
    said = ""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        for processor in _FOR_THIS_PROCESSOR:
            sources = [str(source) for source in SOURCES]
            command = [compiler, *_FLAGS, *processor, "-o", str(built), *sources, "-lm"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=_COMPILE_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise KernelUnavailable(f"{compiler} does not run ({error})") from error
            if done.returncode == 0:
                built.chmod(0o700)
                built.replace(path)
                return
            said = done.stderr.strip().splitlines()[0] if done.stderr.strip() else "no reason given"
    raise KernelUnavailable(f"{compiler} cannot compile the kernels: {said}")
