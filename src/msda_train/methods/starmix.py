"""StarMix blends with a mask of three Gaussians: a bright middle, and four bright corners.

Jin, Zhu, El-Yacoubi, Li, Liao, Qin & Jiang, "StarLKNet", arXiv:2405.12721. Code:
Advance-VeinTech-Innovators/AGVBench agvbench/models/augments/mixups/starmix.py, of the authors' group, which
we follow. Where lam ~ Beta(alpha, alpha) lies in [0.3, 0.7]:

    M = lam sigmoid((corners(lam) + corners(1 - lam) + middle(lam)) / 3),

`middle(s)` a Gaussian around the middle, deviation s times the side, and `corners(s)` the same Gaussian of an
image twice as large with its quarters swapped, of which the middle is cut out; else M = lam, as in mixup. The
labels follow the mask's mean, which is lam times 1/2 to 3/4: so the image itself never has the larger share
there. That code needs square images with an even side; ours measures each axis by its own side. For
transformers it draws the mask patch by patch: `patch=16`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.methods._pairwise import Pairwise, to_device
from msda_train.methods._spans import Span, check_span


@dataclass(frozen=True)
class StarMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; a star where lam lies in `between`.

    patch: pixels a side of the mask's cells.
    """

    between: Span = (0.3, 0.7)
    patch: int = 1

    whole_numbers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_span("method.between", self.between, most=0.999)
        checks.whole("method.patch", self.patch, least=1)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`. UserError where the patches do not divide the image."""
        height, width = picture_size(x)
        if height % self.patch or width % self.patch:
            raise UserError(
                f"method.patch={self.patch}: does not divide images of {height}x{width} pixels; "
                f"type method.patch=1"
            )
        masks = np.stack([self.star(weight, height // self.patch, width // self.patch) for weight in lam])
        cells = to_device(masks, x)[:, None]
        mask = cells.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return Mix(perm, to_device(masks.mean(axis=(1, 2)), x), mask)

    def star(self, lam: float, height: int, width: int) -> np.ndarray:
        """(height, width) float64 of one lam."""
        low, high = self.between
        if not low <= lam <= high:
            return np.full((height, width), lam)
        whole = sum(
            np.outer(_bell(height, share, swapped), _bell(width, share, swapped))
            for share, swapped in ((lam, True), (1 - lam, True), (lam, False))
        )
        made: np.ndarray = lam / (1 + np.exp(-whole / 3))
        return made


def _bell(side: int, share: float, swapped: bool) -> np.ndarray:
    """(side,) of a Gaussian around the middle of twice as many places, deviation share * side; of these, the
    middle half. swapped: the halves change places before it is cut out."""
    place = np.arange(2 * side)
    bell = np.exp(-((place - (2 * side - 1) / 2) ** 2) / (2 * (share * side) ** 2))
    cut: np.ndarray = (np.roll(bell, side) if swapped else bell)[side // 2 : side // 2 + side]
    return cut
