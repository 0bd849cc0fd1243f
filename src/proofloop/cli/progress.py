"""Progress of a run, on standard error: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

PLAIN_EVERY_S = 5.0
"""Between plain lines; a log needs no more."""


class Progress:
    """Steps done of steps planned, a few figures, and the time left."""

    def __init__(self, label: str, num_steps: int) -> None:
        self._label = label
        self._num_steps = num_steps
        self._first: tuple[int, float] | None = None
        self._last_line = 0.0
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True, highlight=False),
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
        text = "  ".join(f"{name} {figure}" for name, figure in figures.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=text)
            return
        now = time.monotonic()
        left = self._time_left(step, now)
        if now - self._last_line >= PLAIN_EVERY_S or step == self._num_steps:
            self._last_line = now
            print(
                f"{self._label} {step}/{self._num_steps}  {text}{left}", file=sys.stderr, flush=True
            )

    def phase(self, label: str) -> None:
        """What is being done, where it is no step."""
        if self._bar is not None:
            self._bar.update(self._task, description=label)
        elif label != self._label:
            print(label, file=sys.stderr, flush=True)
        self._label = label

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _time_left(self, step: int, now: float) -> str:
        if self._first is None:
            self._first = (step, now)
            return ""
        first, started = self._first
        if step <= first:
            return ""
        left_s = (now - started) / (step - first) * (self._num_steps - step)
        return f"  {int(left_s // 60)}:{int(left_s % 60):02d} left"
