"""Mining: a repository in, a set of admitted tasks out.  Start here.

Singles first, in an order that spreads over files and complexities; then joins of those that were
found good.  Both can be stopped at any instant and gone on with: what was tried is in the ledger.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from proofloop.core.codec import content_hash, to_json
from proofloop.core.errors import UserError
from proofloop.core.verdict import Tier
from proofloop.envs.mined_set import MinedSet
from proofloop.mine.attempt import Draft, Result, Workshop, split_of
from proofloop.mine.baseline import Baseline
from proofloop.mine.benches import Benches
from proofloop.mine.changes import Single, in_turns, singles_of
from proofloop.mine.config import Format, MineConfig, values
from proofloop.mine.given_rows import singles_of_rows
from proofloop.mine.history import commits_of
from proofloop.mine.joins import draw, import_depths
from proofloop.mine.ledger import SPARE, VALID, Ledger, Line
from proofloop.mine.prepare import WORK, ground_of, prepare
from proofloop.mine.repository import Repository
from proofloop.mine.rows import pack, write_rows
from proofloop.mine.summary import Summary, summarised
from proofloop.mine.trial import Dropped
from proofloop.mine.writer import remove, write_task
from proofloop.store.files import write_atomic
from proofloop.store.lock import WriterLock

BATCH = 12
"""Candidates that share a start of the tests' runner."""
_MATERIAL = 8
"""Good singles to have before many joins are drawn, times the largest horizon."""
_JOIN_TRIES = 4
"""Joins to draw for each that is wanted."""


Show = Callable[[int, dict[str, str]], None]
"""Tasks admitted, figures."""


def mine(
    root: Path,
    out: Path,
    config: MineConfig,
    *,
    python: str = "",
    tier: Tier | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Show = lambda done, figures: None,
) -> Summary:
    """Raises UserError; then nothing is left that was not there before."""
    began = time.monotonic()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        say(line)

    with Benches(config.workers, tier) as benches:
        repository, mined, baseline = prepare(root, out, config, python, benches, note)
        prepared = time.monotonic()
        with WriterLock(out):
            session = _Session(repository, mined, baseline, config, show, note, began)
            try:
                session.run(benches, note)
            finally:
                session.ledger.close()
            if Format.SWEBENCH in config.format:
                write_rows(mined)
            if Format.PACKED in config.format:
                pack(mined)
            remove(out / WORK / "tree")
            summary = session.summary(prepared - began, time.monotonic() - prepared, notes)
            write_atomic(out / "summary.json", to_json(summary))
    return summary


class _Session:
    def __init__(
        self,
        repository: Repository,
        mined: MinedSet,
        baseline: Baseline,
        config: MineConfig,
        show: Show,
        say: Callable[[str], None],
        began: float,
    ) -> None:
        self._mined, self._baseline = mined, baseline
        self._config, self._show = config, show
        setting, ground = ground_of(repository, mined, baseline, config)
        self._workshop = Workshop(
            mined=mined,
            setting=setting,
            ground=ground,
            config=config,
            depths=import_depths(repository.files, repository.sources),
        )
        self._singles = self._ordered(repository, baseline, say)
        self.ledger = Ledger(mined.folder)
        self._began = began
        self._earlier_s = max((line.at_s for line in self.ledger.lines), default=0.0)
        self._num_before = len(self.ledger.lines)
        self._first_s: float | None = None
        horizons = sorted(set(values(config.horizon)))
        share, rest = divmod(config.max_tasks, len(horizons))
        self._quotas = {h: share + (at < rest) for at, h in enumerate(horizons)}

    def _ordered(
        self, repository: Repository, baseline: Baseline, say: Callable[[str], None]
    ) -> list[Single]:
        config = self._config
        found = [
            single
            for path in repository.sources
            for single in singles_of(
                path, repository.files[path], baseline, values(config.complexity), config.kinds
            )
        ]
        ordered = in_turns(found, config.seed)
        commits = list(commits_of(repository, baseline)) if "commit" in config.kinds else []
        rows = Path(config.rows) if config.rows else None
        given = list(singles_of_rows(rows, repository, baseline, say)) if rows else []
        return [*given, *commits, *ordered]

    def run(self, benches: Benches, say: Callable[[str], None]) -> None:
        horizons = sorted(self._quotas)
        largest = max(horizons)
        num_joins = sum(quota for horizon, quota in self._quotas.items() if horizon > 1)
        material = max(2 * largest, min(_MATERIAL * largest, num_joins)) if num_joins else 0
        self._report()
        self._work(benches, self._drafts(benches.num, material))
        joinable = self._good()
        for horizon in horizons:
            if horizon > 1 and self._left(horizon):
                self._work(benches, self._joins(horizon, joinable))
        for horizon in horizons:
            if left := self._left(horizon):
                had = self._quotas[horizon] - left
                say(f"horizon {horizon}: {had} of {self._quotas[horizon]} tasks; no more to be had")

    def _work(self, benches: Benches, batches: Iterator[list[Draft]]) -> None:
        for results in benches.stream(self._workshop.attempt, batches):
            self._record(results)

    def _drafts(self, num_workers: int, material: int) -> Iterator[list[Draft]]:
        """Singles, until there are as many as are wanted."""
        batch: list[Draft] = []
        size = 2  # small at first, for an early first task
        for single in self._singles:
            wanted = self._left(1)
            if not wanted and len(self._good_ids()) >= material:
                break
            if single.id in self.ledger.ids:
                continue
            batch.append(
                Draft(id=single.id, kind=single.kind, singles=(single,), is_wanted=wanted > 0)
            )
            missing = wanted or material
            if len(batch) >= min(size, math.ceil(1.5 * missing / num_workers)):
                yield batch
                batch, size = [], min(BATCH, size + 2)
        if batch:
            yield batch

    def _joins(self, horizon: int, singles: Sequence[Single]) -> Iterator[list[Draft]]:
        by_split = {s: [x for x in singles if split_of(x) == s] for s in ("train", "heldout")}
        num_draws = _JOIN_TRIES * self._quotas[horizon] + 20
        drawn: set[str] = set()
        for number in range(num_draws):
            if not self._left(horizon):
                return
            split = "heldout" if number % 5 == 4 else "train"
            chosen = draw(by_split[split], horizon, f"{self._config.seed} {horizon} {number}")
            if chosen is None:
                continue
            names = tuple(sorted(single.id for single in chosen))
            id_ = content_hash(names)
            if id_ not in self.ledger.ids and id_ not in drawn:
                drawn.add(id_)
                yield [Draft(id=id_, kind=f"join{horizon}", singles=chosen, names=names)]

    def _good_ids(self) -> set[str]:
        good = (VALID, SPARE)
        return {x.id for x in self.ledger.lines if x.result in good and x.horizon == 1}

    def _good(self) -> list[Single]:
        good = self._good_ids()
        return [single for single in self._singles if single.id in good]

    def _left(self, horizon: int) -> int:
        done = sum(line.result == VALID and line.horizon == horizon for line in self.ledger.lines)
        return max(0, self._quotas.get(horizon, 0) - done)

    def _record(self, results: Sequence[Result]) -> None:
        lines: list[Line] = []
        for result in results:
            line = _line(result, self._earlier_s + time.monotonic() - self._began)
            horizon = line.horizon
            ahead = sum(x.result == VALID and x.horizon == horizon for x in lines)
            if result.task is not None and self._left(horizon) > ahead:
                write_task(self._mined.folder, self._mined.info, self._mined.node_ids, result.task)
                line = _with(line, VALID, result.task.name)
                if self._first_s is None:
                    self._first_s = time.monotonic() - self._began
            elif result.dropped is None:
                line = _with(line, SPARE, "")
            lines.append(line)
        self.ledger.add(lines)
        self._report()

    def _report(self) -> None:
        lines = self.ledger.lines
        admitted = sum(quota - self._left(horizon) for horizon, quota in self._quotas.items())
        refused = sum(line.result == Dropped.PANEL for line in lines)
        figures = {"tried": str(len(lines)), "refused by the panel": str(refused)}
        self._show(admitted, figures)

    def summary(self, prepare_s: float, mining_s: float, notes: Sequence[str]) -> Summary:
        here = sum(line.result == VALID for line in self.ledger.lines[self._num_before :])
        return summarised(
            self._mined,
            self._baseline,
            self.ledger.lines,
            notes=tuple(notes),
            prepare_s=round(prepare_s, 1),
            first_task_s=None if self._first_s is None else round(self._first_s, 1),
            mining_s=round(mining_s, 1),
            tasks_per_hour=round(3600 * here / mining_s, 1) if mining_s else 0.0,
        )


def _line(result: Result, at_s: float) -> Line:
    draft = result.draft
    return Line(
        id=draft.id,
        result="" if result.dropped is None else result.dropped,
        kind=draft.kind,
        operators=tuple(single.operator for single in draft.singles),
        complexity=max(single.complexity for single in draft.singles),
        horizon=len(draft.singles),
        num_tests=result.num_tests,
        at_s=round(at_s, 2),
        refused=result.refused,
        members=draft.names,
        num_failing=result.num_failing,
        num_files=len({path for single in draft.singles for path in single.edits}),
    )


def _with(line: Line, result: str, task: str) -> Line:
    return msgspec.structs.replace(line, result=result, task=task)


def check(config: MineConfig) -> None:
    """Raises UserError for settings that make no sense."""
    if not values(config.horizon) or min(values(config.horizon)) < 1:
        raise UserError("mine.horizon: numbers from 1")
    if config.max_tasks < 1:
        raise UserError("mine.max_tasks: at least 1")
    if not set(values(config.complexity)) <= {1, 2, 3, 4}:
        raise UserError("mine.complexity: 1 to 4; mine.kinds adds removed bodies and commits")
    if not config.kinds:
        raise UserError("mine.kinds: at least one of bug, body, commit")
