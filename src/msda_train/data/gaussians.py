"""Gaussians of one spread around known centres: what a toy GAN learns, without an end of new points.

Ring and grid as in hongyi-zhang/mixup, gan/example_gan.py (the paper, arXiv:1710.09412, Figure 5, prints no
coordinates).
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng

MOST_MODES = 10_000


@dataclass(frozen=True)
class Gaussians:
    """The fields are the options `dataset.*`. shape: `ring`, on the unit circle, or `grid`, from -1 to 1 both
    ways; sigma: standard deviation in each coordinate."""

    name: str
    shape: str
    modes: int
    sigma: float

    def __post_init__(self) -> None:
        checks.one_of("dataset.shape", self.shape, ("ring", "grid"))
        checks.whole("dataset.modes", self.modes, least=2)
        if self.modes > MOST_MODES:
            raise UserError(f"dataset.modes={self.modes}: at most {MOST_MODES:,}")
        checks.positive("dataset.sigma", self.sigma)
        if self.shape == "grid" and math.isqrt(self.modes) ** 2 != self.modes:
            raise UserError(
                f"dataset.modes={self.modes}: a grid needs a square number; type dataset.modes=25"
            )

    @cached_property
    def centres(self) -> np.ndarray:
        """(modes, 2) float32."""
        if self.shape == "ring":
            angle = 2 * np.pi * np.arange(self.modes) / self.modes
            return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
        axis = np.linspace(-1, 1, math.isqrt(self.modes))
        return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)

    @property
    def content(self) -> str:
        """32 hex digits of the distribution itself."""
        described = self.centres.astype("<f4").tobytes() + np.float64(self.sigma).tobytes()
        return hashlib.sha256(described).hexdigest()[:32]

    def points(self, rng: Rng, n: int) -> np.ndarray:
        """(n, 2) float32 new points, every mode equally likely."""
        noise = rng.standard_normal((n, 2), dtype=np.float32) * np.float32(self.sigma)
        points: np.ndarray = noise + self.centres[rng.integers(0, self.modes, n)]
        return points
