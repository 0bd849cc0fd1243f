"""From a source to a program that runs in a workspace, by the commands of its language.

The compiler works on untrusted text, so it is as confined as the program: it sees the system's
files, writes into the program's folder, and has clocks and limits of its own.  Its crash, flood or
bomb is the answer's.  A compiler that is not there, or cannot compile its own probe, is nobody's
zero: `check_languages` says so before anything is judged.
"""

import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofloop.core.errors import MissingProgram, SandboxLost
from proofloop.core.language import FOLDER, Language
from proofloop.core.sandbox import Command, Ending, Execution, Limits, Policy, Sandbox, Workspace
from proofloop.core.verdict import ScoredCause
from proofloop.verify.outcome import cause_of_ending

PROGRAM = "program"
"""The folder of source and program in a workspace."""

_COMPILE_LIMITS = Limits(
    memory_bytes=2 * 1024**3,
    num_processes=32,
    num_open_files=256,
    file_bytes=64 * 1024**2,
    output_bytes=64 * 1024,
)
"""Of every compiler, whatever the program may use; the clocks are the language's."""
_WALL_PER_CPU = 5.0
"""A busy machine is no fault of the answer's."""

_PROBE_LIMITS = Limits(num_processes=32, num_open_files=64)
_MAX_SOURCE_BYTES = 16 * 1024**2
_MAX_MESSAGE_CHARS = 160


class NotCompiled(NamedTuple):
    """Why there is no program; the answer's fault."""

    cause: ScoredCause
    detail: str


class _NotStarted(SandboxLost):
    """A program of the system's cannot be executed in the sandbox."""


@contextmanager
def open_workspace(sandbox: Sandbox) -> Generator[Workspace]:
    """A fresh, empty workspace.  Raises SandboxLost."""
    workspace = sandbox.open_workspace()
    try:
        yield workspace
    finally:
        workspace.close()


def build(workspace: Workspace, language: Language, source: str) -> NotCompiled | None:
    """Source, and what it compiles to, into `PROGRAM`.  Raises SandboxLost, MissingProgram."""
    data = source.encode("utf-8", "surrogatepass")
    if len(data) > _MAX_SOURCE_BYTES:
        return NotCompiled(ScoredCause.INVALID_PROGRAM, f"a source of {len(data)} bytes")
    try:
        workspace.write(f"{PROGRAM}/{language.file}", data)
    except OSError as error:
        raise SandboxLost(f"a source cannot be written: {error}") from error
    if not language.compile:
        return None
    limits = msgspec.structs.replace(
        _COMPILE_LIMITS, cpu_s=language.compile_s, wall_s=language.compile_s * _WALL_PER_CPU
    )
    policy = Policy(limits=limits, read=language.read, write=(PROGRAM,), env=language.env)
    argv = _located(language.compile, language)
    execution = _run(workspace, Command(argv=argv, policy=policy, folder=PROGRAM))
    if execution.ending is Ending.EXITED and execution.exit_status == 0:
        return None
    if execution.ending in (Ending.EXITED, Ending.SIGNALLED):
        said = _first_line(execution.errors or execution.output)
        detail = f"does not compile: {said or execution.detail}"
        return NotCompiled(ScoredCause.INVALID_PROGRAM, detail)
    cause = cause_of_ending(execution.ending, execution.detail)
    return NotCompiled(cause, f"does not compile: {execution.ending}: {execution.detail}")


def run_program(
    workspace: Workspace,
    language: Language,
    stdin: bytes,
    limits: Limits,
    *,
    folder: str = PROGRAM,
    write: tuple[str, ...] = (),
) -> Execution:
    """What was built, started in `folder`, able to write in `write` only."""
    policy = Policy(
        limits=msgspec.structs.replace(
            limits,
            num_processes=max(limits.num_processes, language.num_processes),
            memory_bytes=language.memory_bytes or limits.memory_bytes,
        ),
        read=language.read,
        write=write,
        env=language.env,
    )
    up = "." if folder == PROGRAM else "/".join([".."] * len(Path(folder).parts) + [PROGRAM])
    argv = tuple(part.replace(FOLDER, up) for part in language.run)
    return _run(
        workspace, Command(argv=_located(argv, language), policy=policy, stdin=stdin, folder=folder)
    )


def _run(workspace: Workspace, command: Command) -> Execution:
    """Raises SandboxLost where a program of the system's cannot be started: no answer has a hand in
    that, other than in what lies in the workspace."""
    execution = workspace.run(command)
    if not execution.was_started and command.argv[0].startswith("/"):
        said = _first_line(execution.errors) or execution.detail
        raise _NotStarted(f"{command.argv[0]} cannot be started in the sandbox: {said}")
    return execution


def check_languages(sandbox: Sandbox, languages: Iterable[Language]) -> None:
    """Raises MissingProgram, in one line, for a language whose commands are not to be had here or
    do not compile and run its own probe; SandboxLost when our side broke."""
    for language in set(languages):
        if language.is_forked:
            continue
        for argv in filter(None, (language.compile, language.run)):
            _located(argv, language)
        _try(sandbox, language)


def _try(sandbox: Sandbox, language: Language) -> None:
    """The probe, or, without one, whether the commands can be started at all."""
    try:
        _probe(sandbox, language)
    except _NotStarted as lost:
        raise MissingProgram(
            f"{language.title}: {lost}; if it is there, its files may have to be named in "
            f"env.languages.{language.name}.read"
        ) from lost


def _probe(sandbox: Sandbox, language: Language) -> None:
    with open_workspace(sandbox) as workspace:
        failed = build(workspace, language, language.probe)
        if failed is not None and language.probe:
            raise MissingProgram(
                f"{language.title}: {' '.join(language.compile)} does not compile the smallest "
                f"program ({failed.detail}); mend the compiler's installation, or give its command "
                f"and what it needs to read in env.languages.{language.name}"
            )
        if failed is not None:
            return
        execution = run_program(workspace, language, b"", _PROBE_LIMITS)
    if language.probe and (execution.ending is not Ending.EXITED or execution.exit_status != 0):
        said = _first_line(execution.errors) or execution.detail
        raise MissingProgram(
            f"{language.title}: the smallest program does not run ({execution.ending}: {said}); "
            f"see num_processes, memory_mb and read in env.languages.{language.name}"
        )


def _located(argv: tuple[str, ...], language: Language) -> tuple[str, ...]:
    """With the program's full path in place of its name; a program of the workspace as it is."""
    if argv[0].startswith((".", FOLDER)):
        return argv
    path = _path_of(argv[0])
    if path is None:
        raise MissingProgram(
            f"{language.title}: no program {argv[0]!r} on this machine; install it, or name "
            f"another one in env.languages.{language.name}"
        )
    return (path, *argv[1:])


@cache
def _path_of(name: str) -> str | None:
    return shutil.which(name)


def _first_line(message: bytes) -> str:
    """Of a compiler's message, for a person; printable characters only."""
    for line in message.decode("utf-8", "replace").splitlines():
        text = "".join(c if c.isprintable() else "?" for c in line).strip()
        if "error" in text.lower():
            return text[:_MAX_MESSAGE_CHARS]
    lines = message.decode("utf-8", "replace").split("\n", 1)
    return "".join(c if c.isprintable() else "?" for c in lines[0]).strip()[:_MAX_MESSAGE_CHARS]
