"""File trees: a program works in a folder, and what it leaves there is compared here.

What is wanted never enters the sandbox.  Sizes are compared before anything is read, no link is
ever followed, and what is neither a regular file nor a folder is never what was wanted.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from proofloop.core.errors import SandboxLost
from proofloop.core.file_tree import FileTree, TreeFile, TreeFolder, folders_above
from proofloop.core.sandbox import Command, Ending, Entry, Limits, Policy, Sandbox, Workspace
from proofloop.core.verdict import Scored, ScoredCause, UnscoredCause, Verdict
from proofloop.verify.extract import program_text
from proofloop.verify.outcome import cause_of_ending, scored, unscored
from proofloop.verify.toolchain import build, open_workspace, run_program

TREE = "tree"
"""The program's folder of a workspace."""
MAX_SURPLUS = 10_000
"""Entries beyond the wanted ones that a workspace may hold; with more, none is looked at."""
_FILE_BYTES = 16 * 1024**2
"""Largest file that a program may write, unless a larger one is wanted."""
_NUM_OPEN_FILES = 128

Read = Callable[[str, int], bytes | None]
"""A regular file's content, by path and largest size."""


def verify_files(sandbox: Sandbox, tests: FileTree, answer: str, limits: Limits) -> Verdict:
    """Raises SandboxLost when our side broke, MissingProgram for a compiler that is not there."""
    fault = tests.fault()
    if fault is not None:
        return unscored(UnscoredCause.INVALID_KEY, f"the key {fault}", sandbox.tier)

    def verdict(
        cause: ScoredCause,
        detail: str,
        *,
        compiles: bool = False,
        runs: bool = False,
        num_passed: int = 0,
    ) -> Scored:
        planned = _num_planned(tests)
        made = scored(cause, detail, sandbox.tier, num_passed=num_passed, num_planned=planned)
        parts = {"compiles": float(compiles), "runs": float(runs), **made.parts}
        return msgspec.structs.replace(made, parts=parts)

    source = program_text(answer, tags=tests.language.fences)
    if not source.strip():
        return verdict(ScoredCause.NO_ANSWER, "empty answer")
    with open_workspace(sandbox) as workspace:
        failed = build(workspace, tests.language, source)
        if failed is not None:
            return verdict(failed.cause, failed.detail)
        _lay_out(workspace, tests)
        execution = run_program(
            workspace,
            tests.language,
            tests.stdin,
            _limits(tests, limits),
            folder=TREE,
            write=(TREE,),
        )
        if execution.ending is not Ending.EXITED:
            cause = cause_of_ending(execution.ending, execution.detail)
            return verdict(cause, f"{execution.ending}: {execution.detail}", compiles=True)
        entries = workspace.entries(max_entries=MAX_SURPLUS + 2 * len(tests.wanted))
        if entries is None:
            detail = f"what is left cannot be listed, or is more than {MAX_SURPLUS} files"
            return verdict(ScoredCause.INVALID_RESULT, detail, compiles=True, runs=True)
        wrong = differences(
            tests,
            _below_tree(entries),
            lambda path, most: workspace.read(f"{TREE}/{path}", max_bytes=most),
        )
    num_passed = _num_planned(tests) - len(wrong)
    cause = ScoredCause.WRONG_ANSWER if wrong else ScoredCause.PASSED
    detail = wrong[0] if wrong else f"{num_passed} of {num_passed} as wanted"
    return verdict(cause, detail, compiles=True, runs=True, num_passed=num_passed)


def differences(tests: FileTree, found: Mapping[str, Entry], read: Read) -> list[str]:
    """One line for each thing that is not as wanted; at most one for all surplus.  No line holds
    what was wanted.  Pure but for `read`."""
    wrong: list[str] = []
    for wanted in tests.wanted:
        what = _difference(wanted, found.get(wanted.path), read)
        if what is not None:
            wrong.append(what)
    wrong += ["something is there that was to be absent" for p in tests.absent if p in found]
    if not tests.allows_surplus:
        known = {path for e in tests.wanted for path in (e.path, *folders_above(e.path))}
        # A folder that was given may stay behind empty.
        folders = {path for e in tests.given for path in (e.path, *folders_above(e.path))}
        surplus = [
            e
            for path, e in found.items()
            if path not in known and not (path in folders and e.kind == "folder")
        ]
        if surplus:
            wrong.append(f"{len(surplus)} surplus files or folders, such as {surplus[0].path!r}")
    return wrong


def _difference(wanted: TreeFile | TreeFolder, found: Entry | None, read: Read) -> str | None:
    kind = "file" if isinstance(wanted, TreeFile) else "folder"
    if found is None:
        return f"a {kind} is missing"
    if found.kind != kind:
        return f"not a {kind}, but a {found.kind}"
    if isinstance(wanted, TreeFolder):
        return None
    if found.is_executable != wanted.is_executable:
        return f"a file that is {'' if found.is_executable else 'not '}executable"
    if found.size_bytes != len(wanted.content):
        return f"a file of {found.size_bytes} bytes, which is another size than wanted"
    if read(wanted.path, len(wanted.content)) != wanted.content:
        return "a file with another content than wanted"
    return None


def _num_planned(tests: FileTree) -> int:
    return len(tests.wanted) + len(tests.absent) + (not tests.allows_surplus)


def _lay_out(workspace: Workspace, tests: FileTree) -> None:
    """The given files and folders, below `TREE`.  Raises SandboxLost: they are ours."""
    folders = [TREE, *(f"{TREE}/{e.path}" for e in tests.given if isinstance(e, TreeFolder))]
    policy = Policy(limits=Limits(num_processes=4))
    made = workspace.run(Command(argv=("mkdir", "-p", "--", *folders), policy=policy))
    if made.exit_status != 0:
        raise SandboxLost(f"folders cannot be made: {made.ending}: {made.detail}")
    for entry in tests.given:
        if isinstance(entry, TreeFile):
            try:
                path = f"{TREE}/{entry.path}"
                workspace.write(path, entry.content, executable=entry.is_executable)
            except OSError as error:
                raise SandboxLost(f"a given file cannot be written: {error}") from error


def _limits(tests: FileTree, limits: Limits) -> Limits:
    sizes = [len(e.content) for e in tests.wanted if isinstance(e, TreeFile)]
    return msgspec.structs.replace(
        limits,
        file_bytes=max(limits.file_bytes, _FILE_BYTES, *sizes, 0),
        num_open_files=max(limits.num_open_files, _NUM_OPEN_FILES),
    )


def _below_tree(entries: Iterable[Entry]) -> dict[str, Entry]:
    """By path from the tree's root."""
    inside = f"{TREE}/"
    return {e.path.removeprefix(inside): e for e in entries if e.path.startswith(inside)}
