"""What methods share that ask a trained classifier where to look: which one, and its attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from msda_train import checks
from msda_train.errors import UserError
from msda_train.methods.pairwise import Pairwise
from msda_train.saliency.attention import IMAGENET, Teacher, attend, imagenet_teacher, own_teacher
from msda_train.stored import load_network


@dataclass(frozen=True)
class Taught(Pairwise):
    """teacher: one of torchvision's ImageNet classifiers, or the folder of a finished run of ours.

    weights, grid, teacher_input: of an ImageNet teacher, see `saliency.attention.imagenet_teacher`; a run's
    network sees what it was trained on, and its grid is that of its map. mean, std: of our normalisation.
    """

    teacher: str = "resnet50"
    weights: str | None = None
    grid: int = 7
    attention: str = "channel_mean"
    teacher_input: str = "pixels"
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("method.grid", self.grid, least=1)
        checks.one_of("method.attention", self.attention, ("channel_mean", "last_channel"))
        checks.one_of("method.teacher_input", self.teacher_input, ("pixels", "imagenet", "normalised"))
        if self.weights is not None and self.teacher not in IMAGENET:
            raise UserError(
                f"method.weights={self.weights}: is for method.teacher={' or '.join(IMAGENET)} only"
            )

    def check(self, model: Any) -> None:
        """Loads the teacher, so that what is wrong with it shows before training. Raises UserError."""
        self._teacher.check_channels(next(p.shape[1] for p in model.parameters() if p.dim() == 4))

    def look(self, x: Tensor) -> Tensor:
        """(B, h, w) float32 attention to the cells of x (B, C, H, W); runs under the caller's autocast."""
        return attend(self._teacher.to(x.device)(x), self.attention)

    @cached_property
    def _teacher(self) -> Teacher:  # no field: neither compared nor printed
        if self.teacher in IMAGENET:
            return imagenet_teacher(
                self.teacher, self.weights, self.grid, self.teacher_input, self.mean, self.std
            )
        if not Path(str(self.teacher)).is_dir():
            kinds = f"{', '.join(IMAGENET)} or the folder of a finished run"
            raise UserError(f"method.teacher={self.teacher}: no such folder; type {kinds}")
        network, config = load_network(Path(self.teacher))
        return own_teacher(network, config.get("recipe"), Path(self.teacher), self.mean, self.std)
