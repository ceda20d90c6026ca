"""logger=tensorboard: event files for `tensorboard --logdir tensorboard`."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from msda_train.core.paths import typed_path
from msda_train.training.logger import About, Epoch, Picture, needs_package, row_text, titled


@dataclass
class TensorBoard:
    """Of every run a folder below `folder`: curves over epochs, the example pictures, the row as text, and
    its options beside its metrics for the HParams page.

    A run that goes on tells all its epochs again in a new file, which begins by taking back what the files
    before it say.
    """

    folder: str = "tensorboard"

    def __post_init__(self) -> None:
        needs_package("tensorboard", "tensorboard", "the package tensorboard")
        self._writer: Any = None

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        from torch.utils.tensorboard.writer import SummaryWriter  # a second, which only this logger needs

        self._about, self._last = about, 0
        place = typed_path("logger.folder", self.folder) / about.name
        self._writer = SummaryWriter(str(place), purge_step=0)
        for numbers in done:
            self.epoch(numbers)

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`."""
        self._last = int(numbers["epoch"])
        for name, value in titled(numbers).items():
            self._writer.add_scalar(name, value, self._last)
        self._writer.flush()

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """See `Logger`."""
        if pictures:
            self._writer.add_images("mixed", _stacked(pictures), self._last, dataformats="NHWC")
            labels = "\n".join(f"{n}. {picture.label}" for n, picture in enumerate(pictures, 1))
            self._writer.add_text("mixed/labels", labels, self._last)
        self._writer.add_text("row", f"```json\n{row_text(row)}\n```", self._last)
        # "." keeps it in the run's own folder: no second run in the list. Groups are shown by the alphabet:
        # this one comes after the curves.
        metrics = {f"whole_run/{name}": value for name, value in row["metrics"].items()}
        options = dict(self._about.options)
        self._writer.add_hparams(options, metrics, run_name=".", global_step=self._last)

    def close(self) -> None:
        """See `Logger`."""
        if self._writer is not None:
            self._writer.close()


def _stacked(pictures: Sequence[Picture]) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    opened = (Image.open(io.BytesIO(picture.png)).convert("RGB") for picture in pictures)
    return np.stack([np.asarray(each) for each in opened])
