"""Counts of intervals that held, on the way to rows."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row

Ends = tuple[float | None, float | None]


class Tally:
    """Keyed by (estimator, world, target), in the order of their first interval."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], list[tuple[bool, float]]] = {}
        self._refused: dict[tuple[str, str, str], int] = {}

    def add(self, estimator: str, world: str, target: str, ends: Ends | None, truth: float) -> None:
        """An open end (None) holds all on its side; no ends at all are a refusal."""
        key = (estimator, world, target)
        held = self._held.setdefault(key, [])
        if ends is None:
            self._refused[key] = self._refused.get(key, 0) + 1
            return
        low = -np.inf if ends[0] is None else ends[0]
        high = np.inf if ends[1] is None else ends[1]
        held.append((bool(low <= truth <= high), float(high - low)))

    def rows(self, nominal: float = 0.95) -> Iterator[Row]:
        for key, held in self._held.items():
            yield Row(
                estimator=key[0],
                world=key[1],
                target=key[2],
                nominal=nominal,
                num_worlds=len(held),
                num_covered=sum(covered for covered, _ in held),
                median_width=float(np.median([width for _, width in held])) if held else np.nan,
                refused=self._refused.get(key, 0),
            )


def show(rows: Iterator[Row]) -> None:
    """Plain lines, for one file alone; `python -m bench.coverage` makes the table of all."""
    for row in rows:
        share = row.num_covered / row.num_worlds if row.num_worlds else float("nan")
        print(
            f"{share:6.1%} of {row.num_worlds:5d}  width {row.median_width:9.3g}  "
            f"refused {row.refused:4d}  {row.estimator} | {row.target} | {row.world}",
            flush=True,
        )
