"""Gaussian noise takes the place of a partner: it is added to every image, and labels stay.

Zhang, Cisse, Dauphin & Lopez-Paz, ICLR 2018, arXiv:1710.09412, section on ablation, where it is a control.

Noise is added where mixup mixes, to normalised images: that the paper's deviation counts there is unverified.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._pairwise import to_device


@dataclass(frozen=True)
class GaussianNoise:
    """x~ = x + e, e ~ N(0, noise^2) for each value of each pixel; y~ = y."""

    noise: float = 0.1
    prob: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("method.noise", self.noise)
        checks.fraction("method.prob", self.prob)

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        if rng.random() >= self.prob:
            return Mix.identity(x)
        drawn = to_device(rng.standard_normal(x.shape, dtype=np.float32), x)
        own = Mix.identity(x)
        return Mix(own.perm, own.lam, own.mask, sources=(x + self.noise * drawn, x))
