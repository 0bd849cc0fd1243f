"""From candidates to admitted tasks, in one sandbox: tried, worded, shown to the panel."""

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from proofloop.core.patch import unified
from proofloop.core.task import Split
from proofloop.envs.harbor import project_tests
from proofloop.envs.mined_set import (
    Labels,
    MinedSet,
    MinedTask,
    TaskTests,
    hash_of,
    in_ranges,
)
from proofloop.mine.changes import Single, changed
from proofloop.mine.config import Kind, MineConfig
from proofloop.mine.joins import in_order
from proofloop.mine.panel import admit
from proofloop.mine.runner import Runner, Setting
from proofloop.mine.statement import Secrets, by_model, by_template
from proofloop.mine.trial import Candidate, Dropped, Found, Ground, try_all
from proofloop.sandbox import ForkServerSandbox

_NAMED_BY_SOURCE = (Kind.COMMIT, Kind.ROW)
_HELD_OUT = 5
"""One place in so many is for measuring, not for training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A candidate with what its task will say of it."""

    id: str
    kind: str
    singles: tuple[Single, ...]
    names: tuple[str, ...] = ()
    """Of the tasks or spare changes that a join consists of."""
    is_wanted: bool = True
    """Otherwise it is validated as material for joins only."""

    @property
    def candidate(self) -> Candidate:
        edits = {path: own for single in self.singles for path, own in single.edits.items()}
        for single in self.singles:  # several in one file
            for path, own in single.edits.items():
                if edits[path] is not own:
                    edits[path] = tuple(sorted({*edits[path], *own}))
        tests = sorted({test for single in self.singles for test in single.tests})
        return Candidate(edits=edits, tests=tuple(tests), is_join=len(self.singles) > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    draft: Draft
    dropped: Dropped | None
    num_tests: int
    num_failing: int = 0
    refused: tuple[str, ...] = ()
    task: MinedTask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What attempts share."""

    mined: MinedSet
    setting: Setting
    ground: Ground
    config: MineConfig
    depths: dict[str, int]

    def attempt(self, sandbox: ForkServerSandbox, drafts: Sequence[Draft]) -> list[Result]:
        """One result a draft.  Raises SandboxLost, and UserError for a silent endpoint."""
        runner = Runner(sandbox, self.setting)
        found = try_all(runner, self.ground, [draft.candidate for draft in drafts])
        return [self._result(sandbox, *pair) for pair in zip(drafts, found, strict=True)]

    def _result(self, sandbox: ForkServerSandbox, draft: Draft, found: Found | Dropped) -> Result:
        num_tests = len(self.ground.reliable(draft.candidate.tests))
        if isinstance(found, Dropped):
            return Result(draft=draft, dropped=found, num_tests=num_tests)
        plain = Result(
            draft=draft, dropped=None, num_tests=num_tests, num_failing=len(found.failing)
        )
        if not draft.is_wanted:
            return plain
        task = self._task(draft, found)
        if task is None:
            return replace(plain, dropped=Dropped.LEAK)
        right = {path: self.ground.files[path] for path in draft.candidate.edits}
        oracle = f"```diff\n{task.oracle}```\n"
        admission = admit(sandbox, project_tests(self.mined, task), oracle, right)
        if admission.refused:
            return replace(plain, dropped=Dropped.PANEL, refused=admission.refused)
        if admission.no_twins:
            numbers = {test: n for n, test in enumerate(self.mined.node_ids)}
            no_twins = in_ranges(numbers[test] for test in set(admission.no_twins))
            task = _signed(
                msgspec.structs.replace(
                    task, tests=msgspec.structs.replace(task.tests, no_twins=no_twins)
                )
            )
        return replace(plain, task=task)

    def _task(self, draft: Draft, found: Found) -> MinedTask | None:
        """None where nothing can be said of it without a leak."""
        edits = draft.candidate.edits
        right = {path: _text(self.ground.files[path]) for path in edits}
        broken = {path: _text(t) for path, t in changed(self.ground.files, edits).items()}
        oracle = unified(broken, right, context=1)
        secrets = Secrets(
            [line[1:] for line in oracle.splitlines() if line[:1] == "+" and line[:3] != "+++"],
            self._hidden_lines(found.failing),
            list(edits),
        )
        given = draft.singles[0].statement if len(draft.singles) == 1 else ""
        draft_text = given or by_template(
            self.mined.info.name, len(draft.singles), found.errors, secrets
        )
        if draft_text is None or (given and secrets.leak(given)):
            return None
        if self.config.endpoint is not None and not given:
            draft_text = by_model(
                self.config.endpoint, self.config.endpoint_model, draft_text, secrets
            )
        numbers = {test: n for n, test in enumerate(self.mined.node_ids)}
        labels = Labels(
            kind=draft.kind,
            operators=tuple(single.operator for single in draft.singles),
            complexity=max(single.complexity for single in draft.singles),
            horizon=len(draft.singles),
            steps=in_order(list(edits), self.depths),
            num_files=len(edits),
            split=split_of(draft.singles[0]),
            seed=self.config.seed,
            set_digest=self.mined.info.digest[:16],
            content_hash="",
            members=draft.names,
            commit=draft.singles[0].function if draft.kind in _NAMED_BY_SOURCE else "",
        )
        return _signed(
            MinedTask(
                name=f"{self.mined.info.name}-{draft.kind}-{draft.id[:10]}",
                instruction=draft_text,
                labels=labels,
                tests=TaskTests(
                    fail_to_pass=in_ranges(numbers[test] for test in found.failing),
                    pass_to_pass=in_ranges(numbers[test] for test in found.passing),
                ),
                bug=unified(right, broken, context=1),
                oracle=oracle,
            )
        )

    def _hidden_lines(self, tests: Sequence[str]) -> list[str]:
        """Of the functions of these tests."""
        names: dict[str, set[str]] = {}
        for test in tests:
            path, _, rest = test.partition("::")
            names.setdefault(path, set()).add(rest.partition("[")[0].rpartition("::")[2])
        lines: list[str] = []
        for path, wanted in names.items():
            source = self.ground.files[path].decode(errors="replace")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in wanted:
                    lines += source.split("\n")[node.lineno : node.end_lineno]
        return lines


def split_of(single: Single) -> Split:
    """By the place, so that no function is broken in both splits."""
    place = f"{sorted(single.edits)} {single.function}"
    number = int(hashlib.sha256(place.encode()).hexdigest(), 16)
    return Split.HELDOUT if number % _HELD_OUT == 0 else Split.TRAIN


def _signed(task: MinedTask) -> MinedTask:
    digest = hash_of(task.instruction, task.tests, task.bug, task.labels.set_digest)
    labels = msgspec.structs.replace(task.labels, content_hash=digest)
    return msgspec.structs.replace(task, labels=labels)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
