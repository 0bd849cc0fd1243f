"""Trackio: a local database, in TRACKIO_DIR or the user's cache; `trackio show` opens it."""

from collections.abc import Mapping

import trackio  # pyright: ignore[reportMissingImports]

from proofloop.runs.trackers.tracker import Place


class Trackio:
    def __init__(self, place: Place) -> None:
        self.id = place.id or place.name
        self._run = trackio.init(
            project=place.project,
            name=self.id,
            config=dict(place.settings),
            resume="allow",
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()
