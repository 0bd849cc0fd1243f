"""The manifest of a run: what ran, from which source, on what machine.

For people and for comparisons years later; no part of Proofloop reads it to decide anything.  It
holds no host name, user or home directory, save what the command itself says.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

import proofloop
from proofloop.core.codec import to_json
from proofloop.core.record import Record

MANIFEST_NAME = "manifest.json"
PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "msgspec")


class Source(Record):
    """The commit that the package's code came from."""

    commit: str
    dirty: bool
    """Files differ from the commit."""


class Hardware(Record):
    """The machine, as far as it says."""

    cpu: str
    architecture: str
    num_cores: int
    """Cores that this process may use."""
    memory_bytes: int


class Manifest(Record):
    """What `manifest.json` holds."""

    command: tuple[str, ...]
    started: str
    """UTC, ISO 8601."""
    proofloop: str
    source: Source | None
    """None outside a git checkout (an installed wheel)."""
    python: str
    platform: str
    packages: dict[str, str]
    hardware: Hardware
    seeds: dict[str, int]


def collect_manifest(command: Sequence[str], seeds: Mapping[str, int]) -> Manifest:
    return Manifest(
        command=tuple(command),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        proofloop=proofloop.__version__,
        source=_source(Path(proofloop.__file__).parent),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()}",
        packages={name: version for name in PACKAGES if (version := package_version(name))},
        hardware=read_hardware(),
        seeds=dict(seeds),
    )


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Replaces `directory/manifest.json` whole, or leaves it as it was."""
    path = directory / MANIFEST_NAME
    temporary = path.with_name(f".{MANIFEST_NAME}.part")
    temporary.write_bytes(msgspec.json.format(to_json(manifest), indent=2) + b"\n")
    temporary.replace(path)
    return path


def read_hardware() -> Hardware:
    return Hardware(
        cpu=_cpu_model(),
        architecture=platform.machine(),
        num_cores=num_workers(0),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def num_workers(asked: int) -> int:
    """`asked`, where 0 means as many as there are cores that this process may use."""
    return asked or len(os.sched_getaffinity(0))


def package_version(name: str) -> str | None:
    """From the package's metadata, so that nothing heavy is imported for it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def this_command() -> tuple[str, ...]:
    """The running command, its program by name instead of by path."""
    program = Path(sys.argv[0]).name
    return ("proofloop" if program == "__main__.py" else program, *sys.argv[1:])


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _source(package: Path) -> Source | None:
    """Of the checkout that holds this very package, not of one that a virtual environment with an
    installed copy happens to lie in."""
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit, status = _git(package, "rev-parse", "HEAD"), _git(package, "status", "--porcelain")
    if commit is None or status is None:
        return None
    return Source(commit=commit, dirty=bool(status))


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
