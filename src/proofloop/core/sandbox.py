"""The boundary to untrusted programs, as types.

The trusted side sends a source and calls (function, arguments) and gets claims back: bytes that
its own strict decoder (`core.value`) may or may not accept.  Expected values have no place here.
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from proofloop.core.record import Record
from proofloop.core.verdict import Tier


class Limits(Record):
    """What one candidate program may use; clocks and counters belong to the parent or kernel."""

    wall_s: float = 10.0
    """Several times `cpu_s`: a busy machine is no fault of the answer's, and what spins is stopped
    by its processor time."""
    cpu_s: int = 2
    memory_bytes: int = 256 * 1024 * 1024
    num_processes: int = 1
    """1: the program may neither fork nor start threads beyond its own."""
    num_open_files: int = 32
    file_bytes: int = 0
    """Largest file it may write; 0: none at all."""
    output_bytes: int = 64 * 1024
    """Standard output and error together, kept as data; more ends the program."""
    result_bytes: int = 64 * 1024
    """One result; a larger one is a claim that is refused."""


class Call(Record):
    """One call: a function of the candidate's program and its arguments as `core.value` bytes."""

    function: str
    """Or `name.method` of something that an earlier call kept."""
    args: bytes
    keep_as: str = ""
    """A name under which what is returned stays in the process, instead of being claimed."""


class Program(Record):
    """A candidate's program and the calls to make, in order."""

    source: str
    calls: tuple[Call, ...]
    limits: Limits = Limits()
    decoys: bytes = b""
    """Wrong values to plant in the process before the source loads (`core.task.AnswerKey`)."""
    after: tuple[Call, ...] = ()
    """Made once all `calls` are answered, so that nothing that comes of them reaches those; their
    claims follow."""


class Script(Record):
    """A candidate's program to run as a script, under `__main__`, with a standard input."""

    source: str
    stdin: bytes
    limits: Limits = Limits()
    decoys: bytes = b""
    """As a program's."""


class ClaimKind(StrEnum):
    RETURNED = "returned"
    """`data` holds what the candidate's process says the call returned (undecoded)."""
    RAISED = "raised"
    """`data` holds the exception's type name, UTF-8, capped."""
    UNDEFINED = "undefined"
    """The program does not define the function."""
    UNENCODABLE = "unencodable"
    """The result lies outside the closed grammar or over the size limit."""


class Claim(Record):
    """What the candidate's process says of one call.  A claim is data, never a verdict."""

    kind: ClaimKind
    data: bytes


class Ending(StrEnum):
    """How the candidate's process ended."""

    COMPLETED = "completed"
    """It answered every call."""
    LOAD_FAILED = "load_failed"
    """Compiling or executing the source raised; `detail` names the exception's type."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    EXITED = "exited"
    """It ended by itself, with whatever status, before answering every call."""
    SIGNALLED = "signalled"
    PROTOCOL = "protocol"
    """It wrote something that is not in the protocol."""


class Execution(Record):
    """What happened in the candidate's process; `claims` may be shorter than the calls."""

    ending: Ending
    claims: tuple[Claim, ...]
    output: bytes
    """Standard output and error, of a script standard output alone, capped; data, never parsed for
    status."""
    detail: str
    wall_s: float
    cpu_s: float
    tier: Tier
    exit_status: int | None = None
    """Of a process that ended by itself."""
    errors: bytes = b""
    """Standard error of a command, capped."""
    was_started: bool = True
    """False: a command's program could not be executed, and no code of anybody's ran."""
    report: bytes = b""
    """What a command wrote to its report descriptor, capped."""


class Policy(Record):
    """What the commands of one phase (compile, run, test) may do in a workspace.

    Beside the workspace they see the system's programs and libraries, read-only, and nothing else.
    """

    limits: Limits = Limits()
    read: tuple[str, ...] = ()
    """More files and folders of the host, read-only, at their own paths."""
    write: tuple[str, ...] = (".",)
    """Folders of the workspace in which they may change things; none: nowhere."""
    hidden: tuple[str, ...] = ()
    """Files and folders of the workspace that they cannot read; absolute ones are the host's, of
    which names may still show, but no content."""
    execute: bool = True
    """Whether files of the workspace may be executed."""
    network: bool = False
    env: tuple[tuple[str, str], ...] = ()
    """Variables beyond PATH, HOME, LANG and TMPDIR; nothing is inherited."""


class Command(Record):
    """A program of the system or the workspace to run, with its whole tree of processes."""

    argv: tuple[str, ...]
    policy: Policy
    stdin: bytes = b""
    folder: str = "."
    """Where it starts, in the workspace."""
    with_report: bool = False
    """Give it a descriptor 3 to write a report of at most `result_bytes` to."""


class Entry(Record):
    """A file, folder or link of a workspace."""

    path: str
    """From the workspace's root, with `/`."""
    kind: Literal["file", "folder", "link", "other"]
    size_bytes: int
    is_executable: bool
    modified_ns: int = 0
    """As the file says, which whoever may write it can make it say; of a file of the base that
    nobody touched, the base's."""


class Workspace(Protocol):
    """A folder that lasts from command to command, a copy-on-write view of a base folder.

    Paths are relative, stay within it, and pass through no link.  What is left of it after `close`,
    or after the death of our process, is nothing.  All of it may raise SandboxLost.
    """

    def run(self, command: Command) -> Execution:
        """One command, to its end: EXITED where it ended by itself."""
        ...

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Makes the folders above it.  Raises OSError where a link or a folder is in the way or the
        space is used up."""
        ...

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        """A regular file's content; None where there is none or it is longer."""
        ...

    def entries(self, *, max_entries: int) -> tuple[Entry, ...] | None:
        """All that is in it, sorted by path; None where there is more."""
        ...

    def close(self) -> None: ...


class Sandbox(Protocol):
    """Runs candidate programs, each in a process of its own."""

    @property
    def tier(self) -> Tier: ...

    def run(self, program: Program) -> Execution:
        """Raises SandboxLost when our side broke; whatever the candidate did is an Execution."""
        ...

    def run_script(self, script: Script) -> Execution:
        """As `run`.  A script ends with EXITED where it ended by itself; its one claim, if any, is
        what it raised."""
        ...

    def open_workspace(
        self, base: Path | None = None, *, disk_bytes: int = 256 * 1024 * 1024
    ) -> Workspace:
        """Raises SandboxLost.  `base` itself is never changed; all that is written together may
        take up `disk_bytes`."""
        ...

    def close(self) -> None: ...
