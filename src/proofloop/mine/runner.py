"""Runs a project's tests over small changes of it, many in one command of the sandbox.

The command is the controller of `sandbox.suite`: it has imported pytest and what the tests import
of the environment, has compiled the project, and forks a process a run.  A change is handed to its
run in memory.  Changes are ours and no attack, but what they do is unknown: the sandbox, without
network and with nothing to write to but a scratch folder, holds for them as for any answer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from proofloop.core.codec import to_json
from proofloop.core.errors import SandboxLost
from proofloop.core.record import Record
from proofloop.core.sandbox import Command, Limits, Policy, Sandbox
from proofloop.core.verdict import ScoredCause
from proofloop.sandbox.suite import frames
from proofloop.verify.projects.claims import Failure, Outcome, read_report
from proofloop.verify.projects.interpreter import interpreter
from proofloop.verify.projects.suite import BOOT, SHOWN, SUITE_DIR, encoded, environment

LOOSE = {"num_processes": 48, "num_open_files": 256, "file_bytes": 64 << 20}
"""Of tests that write, start threads or other programs."""
_MEMORY = 2 << 30
_CLAIMS = 64 << 20
_START_S = 60.0
OVER_TIME = "OverTime"
"""The error of a test that was interrupted."""


class Reached(Record):
    functions: tuple[tuple[str, int, str], ...]
    """Path, first line (of its decorators), name."""
    tests: dict[str, tuple[int, ...]]
    """By test, places in `functions`; those of "" while the tests were loaded."""
    lines: dict[str, tuple[int, ...]]


class More(Record):
    said: dict[str, str]
    """By test, the text of its exception; of "", that of loading."""
    seconds: dict[str, float]
    loaded: tuple[str, ...]
    """Modules, at the end."""
    reach: Reached | None = None


class Told(Record):
    """The claims of a run of ours."""

    collected: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    collection_error: str
    status: int
    more: More


class Job(Record):
    modules: tuple[str, ...]
    """Test modules, from the tree."""
    select: tuple[str, ...] | None = None
    share: tuple[int, int] = (0, 1)
    """(k, n): every n-th of the tests, from the k-th on."""
    overlay: dict[str, bytes] = msgspec.field(default_factory=dict[str, bytes])
    trace: tuple[str, ...] = ()
    """Beginnings of paths whose functions' calls are noted."""
    test_s: float = 0.0
    """After which a phase of a test is interrupted, which then fails with `OVER_TIME`; 0: never."""
    spin_s: float = 0.0
    """Processor time of a phase of a test that ends its run as over its time; 0: never."""


class Setting(Record):
    """What all runs of a repository share."""

    tree: str
    """Sources and test modules, as they are."""
    python: str
    plugins: tuple[str, ...]
    import_paths: tuple[str, ...]
    ini: str
    preload: tuple[str, ...] = ()


class Runner:
    """For one thread."""

    def __init__(self, sandbox: Sandbox, setting: Setting) -> None:
        self._sandbox = sandbox
        self._setting = setting

    def run(
        self,
        jobs: Sequence[Job],
        *,
        wall_s: float,
        compiled: Sequence[str] = (),
        strict: bool = False,
    ) -> list[Told | Failure]:
        """One result a job; a job may not take longer than `wall_s`.  `compiled`: files that many
        jobs import.  `strict`: tests may neither write nor start threads or processes.  Raises
        SandboxLost."""
        found: list[Told | Failure] = []
        while len(found) < len(jobs):
            rest = jobs[len(found) :]
            got = self._command(rest, wall_s, compiled, strict)
            if not got:  # the first of them ended the controller
                got = [Failure(cause=ScoredCause.CRASH, detail="ended the runner of its tests")]
            found += got
        return found

    def _command(
        self, jobs: Sequence[Job], wall_s: float, compiled: Sequence[str], strict: bool
    ) -> list[Told | Failure]:
        setting, python = self._setting, interpreter(self._setting.python)
        limits = Limits(
            wall_s=wall_s, cpu_s=int(wall_s) + 1, memory_bytes=_MEMORY, result_bytes=_CLAIMS
        )
        if not strict:
            limits = msgspec.structs.replace(limits, **LOOSE)
        held = sorted({module for job in jobs for module in job.modules})
        settings = {
            "num_runs": len(jobs),
            "preload": setting.preload,
            "compile": [*held, *compiled],
            "goes_on": True,
            "import_paths": setting.import_paths,
            "site_paths": python.site_paths,
            "plugins": setting.plugins,
            "config": f"{SUITE_DIR}/pytest.ini",
            "scratch": "" if strict else f"{SUITE_DIR}/scratch",
            "num_processes": limits.num_processes,
            "cpu_s": limits.cpu_s,
            "wall_s": limits.wall_s,
            "claims_bytes": limits.result_bytes,
        }
        command = Command(
            argv=(python.executable, "-S", "-s", "-B", "-X", "utf8", str(BOOT)),
            policy=Policy(
                limits=msgspec.structs.replace(
                    limits,
                    wall_s=_START_S + 4 * len(jobs) * wall_s,
                    cpu_s=int(_START_S) + len(jobs) * limits.cpu_s,
                    num_processes=limits.num_processes + 1,
                    output_bytes=32 << 20,
                ),
                read=(*python.read, *map(str, SHOWN)),
                hidden=python.hidden,
                write=() if strict else (f"{SUITE_DIR}/scratch",),
                env=environment(),
            ),
            stdin=b"".join(map(frames.frame, [to_json(settings), *map(_job, jobs)])),
            with_report=True,
        )
        workspace = self._sandbox.open_workspace(Path(setting.tree), disk_bytes=1 << 30)
        try:
            workspace.write(f"{SUITE_DIR}/pytest.ini", setting.ini.encode())
            workspace.write(f"{SUITE_DIR}/scratch/.keep", b"")
            execution = workspace.run(command)
        finally:
            workspace.close()
        report = read_report(execution.report, limits, Told)
        if not report.is_ready:
            said = (execution.errors or execution.output)[-300:].decode(errors="replace")
            raise SandboxLost(
                f"the tests' runner did not start ({execution.detail}): "
                f"{said.strip().rpartition(chr(10))[2]}"
            )
        return list(report.runs)


def _job(job: Job) -> bytes:
    words: Mapping[str, object] = {
        "modules": {},
        "held": job.modules,
        "select": job.select,
        "share": job.share,
        "seed": 0,
        "overlay": encoded(job.overlay),
        "trace": job.trace,
        "test_s": job.test_s,
        "spin_s": job.spin_s,
        "tells": True,
    }
    return to_json(words)
