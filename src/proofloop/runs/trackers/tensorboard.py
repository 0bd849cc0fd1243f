"""TensorBoard: event files in `RUN/tensorboard`."""

from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

from proofloop.runs.trackers.tracker import Place


class TensorBoard:
    id = ""

    def __init__(self, place: Place) -> None:
        self._writer = SummaryWriter(str(place.directory / "tensorboard"))
        if not place.id:
            rows = "".join(f"    {key} = {value}\n" for key, value in place.settings.items())
            self._writer.add_text("recipe", rows, 0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
