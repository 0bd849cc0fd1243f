"""Runs a suite in workspaces of a sandbox: pristine tree, the answer's files, our controller."""

import base64
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from proofloop.core.codec import to_json
from proofloop.core.errors import SandboxLost
from proofloop.core.project import FolderTree, InlineTree, ProjectTests
from proofloop.core.sandbox import Command, Ending, Execution, Limits, Policy, Sandbox, Workspace
from proofloop.core.verdict import ScoredCause
from proofloop.sandbox.suite import frames
from proofloop.verify.outcome import cause_of_ending
from proofloop.verify.projects.claims import Claims, Failure, Report, read_report
from proofloop.verify.projects.interpreter import Interpreter, interpreter
from proofloop.verify.projects.plan import Run
from proofloop.verify.projects.tree import check_folder, handed_out

SUITE_DIR = ".suite"
"""Of the workspace: our configuration, and where the tests may write if they may."""
_START_S = 30.0
"""For the interpreter and pytest to start, on a busy machine."""
_PATIENCE = 5
"""Times `wall_s`: no run of the controller's takes longer, whatever the load."""
_FITS_BYTES = 1 << 20
"""A file of this size finds room in any workspace that is ours to give."""
BOOT = Path(frames.__file__).with_name("boot.py")
SHOWN = (BOOT.parent, BOOT.parent.parent / "kernel.py", BOOT.parent.parent / "seccomp.py")


def run_suite(
    sandbox: Sandbox, tests: ProjectTests, files: dict[str, bytes], runs: Sequence[Run]
) -> tuple[Claims | Failure, ...]:
    """As many as there are runs, or fewer where one ended them all.  Raises SandboxLost.

    All runs share one command and its start-up where nothing can pass from one to the next; where
    tests may write or fork, each has a workspace of its own.
    """
    shares = not tests.may_write and tests.limits.num_processes == 1
    results: list[Claims | Failure] = []
    for batch in [runs] if shares else [[run] for run in runs]:
        claimed = _run_batch(sandbox, tests, files, batch)
        results += claimed
        if len(claimed) < len(batch) or isinstance(claimed[-1], Failure):
            break
    return tuple(results)


def _run_batch(
    sandbox: Sandbox, tests: ProjectTests, files: dict[str, bytes], runs: Sequence[Run]
) -> list[Claims | Failure]:
    python = interpreter(tests.python)
    base = Path(tests.tree.folder) if isinstance(tests.tree, FolderTree) else None
    if isinstance(tests.tree, FolderTree):
        check_folder(tests.tree)
    workspace = sandbox.open_workspace(base)
    try:
        problem = _fill(workspace, tests, files)
        if problem is not None:
            return [problem]
        trusted = [path for path in tests.compiled if path not in files]
        jobs = [_job(run, _helpers(tests)) for run in runs]
        execution = workspace.run(_command(tests, python, jobs, trusted))
    finally:
        workspace.close()
    report = _read(execution, tests.limits)
    claimed = list(report.runs[: len(runs)])
    if len(claimed) < len(runs) and not (claimed and isinstance(claimed[-1], Failure)):
        claimed.append(_lost(execution))
    return claimed


def run_side_by_side(
    sandbox: Sandbox,
    tests: ProjectTests,
    answers: Sequence[tuple[dict[str, bytes], Sequence[Run]]],
) -> list[tuple[Claims | Failure, ...]]:
    """Of several answers, as `run_suite` each; where nothing can pass from run to run, in one
    command: the project lies there as the task hands it out, each run has its answer in memory.
    Raises SandboxLost."""
    shares = not tests.may_write and tests.limits.num_processes == 1
    known = all(handed_out(tests, path) is not None for files, _ in answers for path in files)
    if not (shares and known):
        return [run_suite(sandbox, tests, files, runs) for files, runs in answers]
    python = interpreter(tests.python)
    base = Path(tests.tree.folder) if isinstance(tests.tree, FolderTree) else None
    workspace = sandbox.open_workspace(base)
    try:
        _fill(workspace, tests, {})
        helpers = _helpers(tests)
        jobs = [_job(run, {**helpers, **files}) for files, runs in answers for run in runs]
        execution = workspace.run(_command(tests, python, jobs, tests.compiled, goes_on=True))
    finally:
        workspace.close()
    claimed = list(_read(execution, tests.limits).runs)
    found: list[tuple[Claims | Failure, ...]] = []
    for files, runs in answers:
        own, claimed = tuple(claimed[: len(runs)]), claimed[len(runs) :]
        # One of them ended the command: who it was is found out by running the rest alone.
        found.append(own if len(own) == len(runs) else run_suite(sandbox, tests, files, runs))
    return found


def _read(execution: Execution, limits: Limits) -> Report[Claims]:
    """Raises SandboxLost where no code of the project can have run."""
    report = read_report(execution.report, limits, Claims)
    if not report.is_ready:
        noise = (execution.errors or execution.output)[-300:].decode(errors="replace")
        last = noise.strip().rpartition("\n")[2]
        raise SandboxLost(f"the tests' runner did not start ({execution.detail}): {last}")
    return report


def _lost(execution: Execution) -> Failure:
    """The controller did not come to its end: something that it ran saw to that."""
    if execution.ending is Ending.EXITED:
        return Failure(cause=ScoredCause.CRASH, detail="the tests ended before their time")
    cause = cause_of_ending(execution.ending, execution.detail)
    return Failure(cause=cause, detail=f"{execution.ending}: {execution.detail}")


def _fill(workspace: Workspace, tests: ProjectTests, files: dict[str, bytes]) -> Failure | None:
    """What stands in the way of the answer's files, if anything."""
    if isinstance(tests.tree, InlineTree):
        for file in tests.tree.files:
            workspace.write(file.path, file.content)
    for file in tests.changed:
        workspace.write(file.path, file.content)
    for module in (*tests.modules, *tests.helpers):
        workspace.write(module.path, b"")
    workspace.write(f"{SUITE_DIR}/pytest.ini", b"[pytest]\n")
    workspace.write(f"{SUITE_DIR}/scratch/.keep", b"")
    for path, content in files.items():
        try:
            workspace.write(path, content)
        except OSError as error:
            if error.errno == errno.ENOSPC and len(content) < _FITS_BYTES:
                raise SandboxLost("no space for a project's workspace") from error
            detail = f"{path!r} cannot be written ({error.strerror or error})"
            return Failure(cause=ScoredCause.FORBIDDEN_FILE, detail=detail)
    return None


def _command(
    tests: ProjectTests,
    python: Interpreter,
    runs: Sequence[bytes],
    trusted: Sequence[str],
    *,
    goes_on: bool = False,
) -> Command:
    """`trusted`: files of the tree that the controller may compile."""
    limits = tests.limits
    settings = {
        "num_runs": len(runs),
        "preload": tests.preload,
        "compile": trusted,
        "goes_on": goes_on,
        "import_paths": tests.import_paths,
        "site_paths": python.site_paths,
        "plugins": tests.plugins,
        "config": tests.config or f"{SUITE_DIR}/pytest.ini",
        "scratch": f"{SUITE_DIR}/scratch" if tests.may_write else "",
        "num_processes": limits.num_processes,
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "claims_bytes": limits.result_bytes,
    }
    return Command(
        argv=(python.executable, "-S", "-s", "-B", "-X", "utf8", str(BOOT)),
        policy=Policy(
            limits=msgspec.structs.replace(
                limits,
                wall_s=_START_S + len(runs) * _PATIENCE * limits.wall_s,
                cpu_s=int(_START_S) + len(runs) * limits.cpu_s,
                num_processes=limits.num_processes + 1,
                output_bytes=len(runs) * limits.output_bytes,
                result_bytes=len(runs) * (limits.result_bytes + 64) + 64,
            ),
            read=(*python.read, *map(str, SHOWN)),
            hidden=python.hidden,
            write=(f"{SUITE_DIR}/scratch",) if tests.may_write else (),
            env=environment(),
        ),
        stdin=b"".join(map(frames.frame, [to_json(settings), *runs])),
        with_report=True,
    )


def _helpers(tests: ProjectTests) -> dict[str, bytes]:
    return {module.path: module.content for module in tests.helpers}


def _job(run: Run, overlay: Mapping[str, bytes]) -> bytes:
    return to_json(
        {
            "modules": encoded(run.modules),
            "select": run.select,
            "seed": run.seed,
            "overlay": encoded(overlay),
        }
    )


def encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: base64.b64encode(content).decode() for path, content in files.items()}


def environment() -> tuple[tuple[str, str], ...]:
    ours = [
        ("PYTHONHASHSEED", "0"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"),
    ]
    if "LD_LIBRARY_PATH" in os.environ:  # some interpreters need it to find libpython
        ours.append(("LD_LIBRARY_PATH", os.environ["LD_LIBRARY_PATH"]))
    return tuple(ours)
