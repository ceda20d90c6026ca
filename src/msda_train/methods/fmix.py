"""FMix cuts along the level set of a random low-frequency image, so that a share lam stays the sample's own.

Harris, Marcu, Painter, Niranjan, Prügel-Bennett & Hare, arXiv:2002.12047. Code: ecs-vlc/FMix fmix.py
(decay power 3, alpha 1, max_soft 0), which we follow: one lam, mask and permutation per batch, and the number
of own pixels is lam * H * W rounded up or down by a coin. The label keeps the *sampled* lam, so it is off the
area by up to one pixel: `label=area` takes the area. That code does not draw the paper's isotropic spectrum
(see `masks.low_frequency_images`); openmixup's fmix.py computes the same as the code, for 32 x 32 masks. An
earlier version of the code drew yet another one; which of them made the paper's numbers is not stated.
openmixup also avoids pairing an image with itself. The code's `reformulate` option is not here.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import low_frequency_images, top_share
from msda_train.methods._pairwise import Pairwise, to_device


@dataclass(frozen=True)
class FMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 1 at the lam * H * W highest pixels of the random image, else 0."""

    whole_numbers: ClassVar = True

    decay: float = 3.0
    max_soft: float = 0.0
    label: str = "sampled"
    spectrum: str = "code"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.non_negative("method.decay", self.decay)
        if not 0 <= checks.number("method.max_soft", self.max_soft) <= 0.5:
            raise UserError(f"method.max_soft={self.max_soft}: must lie in [0, 0.5]; 0 is a hard edge")
        checks.one_of("method.label", self.label, ("sampled", "area"))
        checks.one_of("method.spectrum", self.spectrum, ("code", "paper"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        images = low_frequency_images(rng, len(lam), height, width, self.decay, self.spectrum)
        pixels = lam * (height * width)
        count = np.where(rng.random(len(lam)) > 0.5, np.ceil(pixels), np.floor(pixels)).astype(np.int64)
        softness = np.minimum(self.max_soft, np.minimum(lam, 1 - lam))
        mask = top_share(images, count, (height * width * softness).astype(np.int64))
        weight = lam if self.label == "sampled" else mask.mean(axis=(1, 2))
        return Mix(perm, to_device(weight, x), to_device(mask, x)[:, None])
