"""One agent at work on a repository of the user's; its work comes back as a branch.

The agent works in a copy-on-write view of the last commit, in the sandbox.  Nothing of the
repository is touched but for the objects of one commit and the branch that names it, and a folder
of records within Git's own; whatever ends it earlier leaves neither.
"""

import re
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from proofloop.agent.asks import Ask
from proofloop.agent.atif import atif_bytes
from proofloop.agent.changes import Changes, changes, commit_changes
from proofloop.agent.drive import talk
from proofloop.agent.episode import episode
from proofloop.agent.permissions import COMMAND_LIMITS
from proofloop.agent.repository import Base, git, prepare
from proofloop.agent.site import MAX_ENTRIES, Site, TreeTooLarge
from proofloop.core import codec
from proofloop.core.completion import SamplingParams
from proofloop.core.episode import Denial, Episode, EpisodeEnding
from proofloop.core.errors import UserError
from proofloop.core.record import Record
from proofloop.core.sandbox import Command, Ending, Policy, Sandbox, Workspace
from proofloop.core.task import Message
from proofloop.core.verdict import Tier
from proofloop.measure.text import printable
from proofloop.runs.agent_policy import PERSON, AgentPolicy, SolveConfig, open_policy
from proofloop.runs.peek import TRAJECTORY
from proofloop.sandbox import open_sandbox

RECORDS = "proofloop"
"""Folder in the repository's Git folder."""
REPORT, ATIF = "report.json", "atif.json"
_BRANCH = re.compile(r"[^a-z0-9]+")


class TestsRun(Record):
    """What the repository's own tests say."""

    __test__ = False

    passed: bool
    summary: str
    """Their last line."""
    seconds: float


class SolveReport(Record):
    """What came of it; `--json` prints this."""

    task: str
    model: str
    ending: EpisodeEnding
    branch: str
    """Empty: nothing was changed."""
    commit: str
    base_commit: str
    diffstat: str
    tests_before: TestsRun
    tests_after: TestsRun | None
    """In a new view of the base with the changes alone; None where there are none."""
    num_turns: int
    num_calls: int
    num_context_tokens: int
    """Of all turns together: what a server bills."""
    num_sampled_tokens: int
    cost: float
    seconds: float
    denied: tuple[Denial, ...]
    left_out: tuple[str, ...]
    """Changed paths that no commit takes: links, pipes, files too large."""
    tier: Tier
    records: str
    """Folder of the trajectory."""


def solve(config: SolveConfig, *, on_progress: Callable[[str], None]) -> SolveReport:
    """Raises UserError before anything is done where the repository is not ready for it; whatever
    it raises later (KeyboardInterrupt, EngineLost, SandboxLost), the repository is as it was."""
    root, branch = check_repository(config)
    policy = open_policy(config)
    with (
        tempfile.TemporaryDirectory(prefix="proofloop-solve-") as folder,
        open_sandbox(config.tier) as sandbox,
    ):
        base = prepare(root, Path(folder, "base"), python=config.python or _own_python(root))
        with closing(sandbox.open_workspace(base.tree)) as workspace:
            before = _run_tests(workspace, base, config)
        on_progress(f"tests before: {before.summary}")
        with closing(sandbox.open_workspace(base.tree)) as workspace:
            done = _run_episode(workspace, base, config, policy, on_progress)
            found = changes(workspace, base.tree)
        after = _tests_after(sandbox, base, config, found) if found.files else None
        if after is not None:
            on_progress(f"tests after: {after.summary}")
        commit = ""
        if found.files:
            commit = commit_changes(root, base.commit, branch, found.files, _message(config.task))
        return _report(config, root, branch, base, done, found, commit, before, after, sandbox.tier)


def check_repository(config: SolveConfig) -> tuple[Path, str]:
    """Its top folder, and the branch to be.  Raises UserError, with what to do."""
    where = config.repository
    if not config.task.strip():
        raise UserError("--task: says nothing")
    if not where.is_dir():
        raise UserError(f"{where}: no such directory")
    try:
        root = Path(git(where, "rev-parse", "--show-toplevel").strip())
    except UserError:
        raise UserError(f"{where}: not the working tree of a Git repository") from None
    if not git(root, "rev-list", "--all", "--max-count=1").strip():
        raise UserError(f"{where}: a repository without commits; commit what is to be worked on")
    changed = git(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        raise UserError(
            f"{where}: a dirty checkout ({len(changed)} changed files, such as {changed[0][3:]}); "
            "commit or stash them: the agent works on the last commit"
        )
    branch = config.branch or _branch_of(root, config.task)
    try:
        git(root, "check-ref-format", "--branch", branch)
    except UserError:
        raise UserError(f"--branch: {branch!r} is no name of a branch") from None
    if config.branch and git(root, "branch", "--list", branch).strip():
        raise UserError(f"--branch: {branch!r} is there already; name another")
    return root, branch


def _branch_of(root: Path, task: str) -> str:
    words = _BRANCH.sub("-", task.lower()).strip("-")[:40].strip("-") or "task"
    names = set(git(root, "branch", "--list", "--format=%(refname:short)").split())
    name = f"agent/{words}"
    number = 2
    while name in names:
        name, number = f"agent/{words}-{number}", number + 1
    return name


def _own_python(root: Path) -> str:
    found = next(
        (p for p in (root / ".venv", root / "venv") if (p / "bin" / "python").exists()), ""
    )
    return str(Path(found, "bin", "python")) if found else ""


def _site(workspace: Workspace, base: Base, config: SolveConfig) -> Site:
    return Site(
        workspace=workspace,
        permissions=base.permissions(config.permissions),
        environment=base.environment,
        test_command=config.tests or base.test_command,
    )


def _run_tests(workspace: Workspace, base: Base, config: SolveConfig) -> TestsRun:
    site = _site(workspace, base, config)
    try:
        done = site.run(site.test_command)
    except TreeTooLarge:
        raise UserError(
            f"{config.repository}: over {MAX_ENTRIES} files, among which rules of paths cannot be "
            "looked up; leave --no-write and --no-read away"
        ) from None
    lines = (done.output + b"\n" + done.errors).decode(errors="replace").split("\n")
    said = [line.strip(" =\r") for line in lines if line.strip(" =\r")]
    passed = done.ending is Ending.EXITED and done.exit_status == 0
    how = f" ({done.ending.replace('_', ' ')})" if done.ending is not Ending.EXITED else ""
    summary = (said[-1][:200] if said else f"no output, {done.detail}") + how
    return TestsRun(passed=passed, summary=summary, seconds=round(done.wall_s, 3))


def _run_episode(
    workspace: Workspace,
    base: Base,
    config: SolveConfig,
    policy: AgentPolicy,
    on_progress: Callable[[str], None],
) -> Episode:
    limits = config.limits
    if config.model == PERSON:  # who has all the time and needs no notes
        limits = msgspec.structs.replace(limits, max_turns=10_000, context_tokens=1 << 40)
    if policy.max_positions is not None:
        most = min(limits.context_tokens, policy.max_positions)
        turn = min(limits.max_turn_tokens, most // 4)
        limits = msgspec.structs.replace(limits, context_tokens=most, max_turn_tokens=turn)
    memory = config.memory
    if memory is not None:
        notes = min(memory.max_notes_tokens, limits.context_tokens // 8)
        memory = msgspec.structs.replace(memory, max_notes_tokens=notes)
    asks = episode(
        (Message(role="user", content=config.task),),
        site=_site(workspace, base, config),
        dialect=policy.dialect,
        tokenizer=policy.tokenizer,
        limits=limits,
        memory=memory,
        sampling=SamplingParams(temperature=config.temperature),
        seed_of=lambda turn: config.seed * 1000 + turn,
        id="solve",
        model=policy.name,
    )
    return talk(policy.talker, asks, None if config.model == PERSON else _watcher(on_progress))


def _watcher(on_progress: Callable[[str], None]) -> Callable[[Ask], None]:
    num_turns = 0

    def watch(ask: Ask) -> None:
        nonlocal num_turns
        num_turns += 1
        said = [m for m in ask.messages if m["role"] == "assistant"]
        last = said[-1] if said else None
        calls = [] if last is None else [c["function"] for c in last.get("tool_calls") or ()]
        words = "; ".join(f"{c['name']} {c['arguments']}" for c in calls) or (
            "" if last is None else str(last.get("content") or "")
        )
        words = printable(" ".join(words.split()))
        after = f", after: {words[:100]}" if words else ""
        on_progress(f"turn {num_turns}{after}")

    return watch


def _tests_after(sandbox: Sandbox, base: Base, config: SolveConfig, found: Changes) -> TestsRun:
    """On what the branch holds, not on what the agent left lying about."""
    with closing(sandbox.open_workspace(base.tree)) as workspace:
        gone = [file.path for file in found.files if file.content is None]
        policy = Policy(limits=COMMAND_LIMITS)
        for start in range(0, len(gone), 500):  # first: a folder may stand where a file was
            argv = ("rm", "-f", "--", *gone[start : start + 500])
            workspace.run(Command(argv=argv, policy=policy))
        for file in found.files:
            if file.content is not None:
                workspace.write(file.path, file.content, executable=file.is_executable)
        return _run_tests(workspace, base, config)


def _message(task: str) -> str:
    first, _, rest = task.strip().partition("\n")
    return f"{first[:72]}\n" + (f"\n{task.strip()}\n" if rest or len(first) > 72 else "")


def _report(
    config: SolveConfig,
    root: Path,
    branch: str,
    base: Base,
    done: Episode,
    found: Changes,
    commit: str,
    before: TestsRun,
    after: TestsRun | None,
    tier: Tier,
) -> SolveReport:
    story = done.trajectory
    records = Path(git(root, "rev-parse", "--git-common-dir").strip())
    records = (records if records.is_absolute() else root / records) / RECORDS / branch
    stat = git(root, "diff", "--stat", "--no-color", base.commit, commit) if commit else ""
    report = SolveReport(
        task=config.task,
        model=story.model,
        ending=story.ending,
        branch=branch if commit else "",
        commit=commit,
        base_commit=base.commit,
        diffstat=_plain(stat.rstrip()),
        tests_before=before,
        tests_after=after,
        num_turns=len(story.steps),
        num_calls=story.num_calls,
        num_context_tokens=sum(step.num_context_tokens for step in story.steps),
        num_sampled_tokens=sum(step.num_sampled_tokens for step in story.steps),
        cost=story.cost,
        seconds=round(story.seconds, 3),
        denied=story.denied,
        left_out=tuple(map(_plain, found.left_out)),
        tier=tier,
        records=str(records),
    )
    records.mkdir(parents=True, exist_ok=True)
    (records / TRAJECTORY).write_bytes(codec.to_json(done))
    (records / ATIF).write_bytes(atif_bytes(done, session=branch))
    (records / REPORT).write_bytes(codec.to_json(report))
    return report


def _plain(text: str) -> str:
    """Names of files may be no Unicode, which JSON must be."""
    return text.encode(errors="replace").decode()
