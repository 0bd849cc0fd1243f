"""MLflow: the server of MLFLOW_TRACKING_URI, or the database `RUN/mlflow.db`."""

import os
from collections.abc import Mapping

import mlflow  # pyright: ignore[reportMissingImports]

from proofloop.runs.trackers.tracker import Place


class MLflow:
    def __init__(self, place: Place) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place.directory}/mlflow.db"
        self._client = mlflow.MlflowClient(uri)
        if place.id:
            self.id = place.id
            return
        found = self._client.get_experiment_by_name(place.project)
        experiment = found.experiment_id if found else self._client.create_experiment(place.project)
        self.id = self._client.create_run(experiment, run_name=place.name).info.run_id
        for key, value in place.settings.items():
            self._client.log_param(self.id, key, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self.id)
