"""Weights & Biases, offline unless WANDB_MODE says otherwise; `wandb sync RUN/wandb/…` sends it."""

import os
from collections.abc import Mapping

import wandb  # pyright: ignore[reportMissingImports]

from proofloop.runs.trackers.tracker import Place


class WeightsAndBiases:
    def __init__(self, place: Place) -> None:
        self._run = wandb.init(
            project=place.project,
            name=place.name,
            dir=str(place.directory),
            config=dict(place.settings),
            mode=os.environ.get("WANDB_MODE", "offline"),
            id=place.id or None,
            resume="allow" if place.id else None,
        )
        self.id = str(self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()
