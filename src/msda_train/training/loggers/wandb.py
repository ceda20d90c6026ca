"""logger=wandb: Weights & Biases, offline unless another mode is typed."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from msda_train.config import checks
from msda_train.core.paths import typed_path
from msda_train.training.logger import About, Epoch, Picture, needs_package, row_text, titled


@dataclass
class Wandb:
    """mode: offline writes below `folder`/wandb, and `wandb sync` uploads it later; online needs a login.

    A run that goes on continues the run of before, whose id is its name.
    """

    mode: str = "offline"
    project: str = "msda-train"
    entity: str | None = None
    folder: str = "."

    def __post_init__(self) -> None:
        checks.one_of("logger.mode", self.mode, ("offline", "online"))
        needs_package("wandb", "wandb", "the package wandb")
        self._run: Any = None

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        import wandb

        folder = typed_path("logger.folder", self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._images: Any = wandb.Image
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode="online" if self.mode == "online" else "offline",
            dir=str(folder),
            id=about.name,
            name=about.name,
            group=about.group,
            config=dict(about.options),
            resume="allow",
            save_code=False,
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )
        self._run.define_metric("*", step_metric="epoch")
        self._known = int(self._run.summary.get("epoch", 0)) if self._run.resumed else 0
        for numbers in done:
            self.epoch(numbers)

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`. An epoch that was lost and comes again is the same to the last bit."""
        if numbers["epoch"] > self._known:
            self._run.log({**titled(numbers), "epoch": int(numbers["epoch"])})

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """See `Logger`."""
        shown = [self._images(Image.open(io.BytesIO(p.png)), caption=p.label) for p in pictures]
        if shown:
            self._run.log({"mixed": shown})
        self._run.summary.update(dict(row["metrics"]))
        self._run.summary["row"] = row_text(row)

    def close(self) -> None:
        """See `Logger`."""
        if self._run is not None:
            self._run.finish()
