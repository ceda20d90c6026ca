"""What methods share that ask a trained classifier where to look: which one, and its attention."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, not_pictures
from msda_train.core.randomness import Rng
from msda_train.methods._attention import Teacher, attend
from msda_train.methods._cached_attention import CachedAttention
from msda_train.methods._pairwise import Pairwise
from msda_train.methods._teachers import check_words, find_teacher, finished_teacher


@dataclass(frozen=True)
class TeacherGuided(Pairwise):
    """teacher: one of torchvision's ImageNet classifiers, or the folder of a finished run of ours.

    weights, grid, teacher_input: of an ImageNet teacher, see `methods._attention.imagenet_teacher`; a run's
    network sees what it was trained on, and its grid is that of its map. cached: it sees every training image
    once, before training. mean, std: of our normalisation.
    """

    teacher: str = "resnet50"
    weights: str | None = None
    grid: int = 7
    attention: str = "channel_mean"
    teacher_input: str = "pixels"
    cached: bool = False
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cached and self.among():
            raise UserError(
                f"method.pairing={self.pairing}: what is cached is known of a batch's own images only; "
                f"type method.cached=false"
            )
        check_words(self.teacher, self.weights, self.grid, self.teacher_input)
        checks.one_of("method.attention", self.attention, ("channel_mean", "last_channel"))
        checks.flag("method.cached", self.cached)

    def teacher_run(self) -> str | None:
        """See `msda_train.core.mix.HasTeacher`."""
        return finished_teacher(self.teacher)

    def taught_by(self, network: nn.Module) -> "TeacherGuided":
        """The same, taught by a copy of `network`, which makes a feature map (B, C', h, w) of normalised
        images (B, C, H, W) as they are."""
        taught = replace(self)
        plain = torch.ones(1, 1, 1)
        taught.__dict__["_teacher"] = Teacher(deepcopy(network), plain, torch.zeros(1, 1, 1), side=None)
        return taught

    def prepare(self, network: Any, batches: Iterable[Tensor]) -> "TeacherGuided | CachedAttention":
        """See `msda_train.core.mix.Prepares`. Loads the teacher, so that what is wrong with it shows before
        training; where it is `cached`, shows it all images. Raises UserError."""
        channels = next((p.shape[1] for p in network.parameters() if p.dim() == 4), None)
        if channels is None:
            raise not_pictures()
        self._teacher.check_channels(channels)
        if not self.cached:
            return self
        seen = [(self.look(x), self.look(x.flip(3))) for x in batches]
        return CachedAttention(self, torch.cat([torch.cat(way) for way in zip(*seen, strict=True)]))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        return self.paste(self.look(x), x, lam, perm, rng)

    def paste(self, attention: Tensor, x: Tensor, lam: np.ndarray, perm: Tensor, rng: Rng) -> Mix:
        """The plan for x (B, C, H, W), given the attention (B, h, w) to its cells, lam and perm."""
        raise NotImplementedError

    def look(self, x: Tensor) -> Tensor:
        """(B, h, w) float32 attention to the cells of x (B, C, H, W); runs under the caller's autocast."""
        return attend(self._teacher.to(x.device)(x), self.attention)

    @cached_property
    def _teacher(self) -> Teacher:  # no field: neither compared nor printed
        return find_teacher(self.teacher, self.weights, self.grid, self.teacher_input, self.mean, self.std)
