"""SmoothMix shows the partner through a Gaussian bump of random place and width; the label follows the mask.

Lee, Zaheer, Astrid & Lee, "SmoothMix: a Simple Yet Effective Data Augmentation to Train Robust Classifiers",
CVPR Workshops 2020. The authors' code was not found; this is openmixup's smoothmix.py: one bump
exp(-d^2 / (2 sigma^2)), sigma ~ U(0.25, 0.5) of the image's side, and permutation per batch, centre half a
pixel before a uniform pixel. lam plays no part, so alpha is not in the yaml. openmixup gives the *bump's*
share to the image outside the bump: `label=swapped`; the paper's lambda is the mean of the mask. Height times
width stands for the squared side where images are not square. The paper's square mask is not here.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import blob_mask, draw_centre
from msda_train.methods._pairwise import Pairwise
from msda_train.methods._spans import Span, check_span, draw_span


@dataclass(frozen=True)
class SmoothMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; 1 - M = exp(-d^2 / (2 sigma^2)). `lam_per` counts the bumps."""

    whole_numbers: ClassVar = True

    sigma: Span = (0.25, 0.5)
    label: str = "area"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_span("method.sigma", self.sigma)
        checks.one_of("method.label", self.label, ("area", "swapped"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        centre = draw_centre(rng, len(lam), height, width) - 0.5
        share = 2 * np.pi * draw_span(rng, self.sigma, len(lam)) ** 2  # of an infinite plane: may exceed 1
        blob = blob_mask(share, centre, height, width, x.device)
        mask = 1 - blob
        return Mix(perm, (mask if self.label == "area" else blob).mean(dim=(1, 2, 3)), mask)
