"""Progress of a run, on standard error: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

PLAIN_EVERY_S = 5.0
"""Between plain lines; a log needs no more."""
WIDTH_WITH_BAR = 112
"""Columns of a terminal from which a bar leaves room for the figures."""


class Progress:
    """Steps done of steps planned, a few figures, and the time left."""

    def __init__(self, label: str, num_steps: int) -> None:
        self._label = label
        self._num_steps = num_steps
        self._first: tuple[int, float] | None = None
        self._shown_at = 0.0
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            console = Console(stderr=True, highlight=False)
            bar = [BarColumn(bar_width=20)] if console.width >= WIDTH_WITH_BAR else []
            self._bar = Bar(
                TextColumn("{task.description} {task.completed:.0f}/{task.total:.0f}"),
                *bar,
                TextColumn("{task.fields[figures]}"),
                console=console,
            )
            self._task = self._bar.add_task(label, total=num_steps, figures="")
            self._bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def step(self, step: int, figures: Mapping[str, str]) -> None:
        """`step` steps are done."""
        worth_a_line = self._first is None or step == self._num_steps
        parts = [f"{name} {figure}" for name, figure in figures.items()]
        text = "  ".join([*parts, *self._time_left(step)])
        if self._bar is not None:
            self._bar.update(self._task, description=self._label, completed=step, figures=text)
        else:
            self._plain(f"{self._label} {step}/{self._num_steps}  {text}", force=worth_a_line)

    def aside(self, label: str, text: str, *, last: bool) -> None:
        """Something that is no step; `last`: it is done, and worth a line in a log."""
        if self._bar is None:
            self._plain(f"{label}  {text}", force=last)
            return
        self._bar.update(self._task, description=label, figures=text)
        if last:
            self._bar.console.print(f"{label}  {text}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _plain(self, line: str, *, force: bool) -> None:
        now = time.monotonic()
        if force or now - self._shown_at >= PLAIN_EVERY_S:
            self._shown_at = now
            print(line, file=sys.stderr, flush=True)

    def _time_left(self, step: int) -> list[str]:
        """From the mean step since the first one that was seen, measurements included."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        first, since = self._first
        if step <= first:
            return []
        left_s = round((now - since) / (step - first) * (self._num_steps - step))
        return [f"{left_s // 60}:{left_s % 60:02d} left"]
