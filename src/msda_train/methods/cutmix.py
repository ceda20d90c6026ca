"""CutMix pastes a box of the partner; the labels are weighted by the area.

Yun et al., ICCV 2019, arXiv:1905.04899, equations (1) and (2). Code: clovaai/CutMix-PyTorch train.py, which
we follow: one coin, lam, box and permutation per batch, integer centre, sides and halves truncated, the box
clipped, and lam then *re-adjusted* to the realised area. The authors' first runs kept the sampled lam
(their issue 1): `label=sampled`. The paper's appendix has a real-valued centre and rounded corners:
`corners=continuous`. `prob` is 0.5 on CIFAR with PyramidNet-200, 1.0 on ImageNet and with ResNet-110 (their
issues 30 and 10).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask, centred_box, continuous_box, draw_centre, kept_share
from msda_train.methods._pairwise import Pairwise, to_device


@dataclass(frozen=True)
class CutMix(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 0 in a box of about 1 - lam of the image, else 1."""

    whole_numbers: ClassVar = True

    prob: float = 0.5
    label: str = "area"
    corners: str = "integer"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.label", self.label, ("area", "sampled"))
        checks.one_of("method.corners", self.corners, ("integer", "continuous"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        if self.corners == "integer":
            edges = centred_box(lam, draw_centre(rng, len(lam), height, width), height, width)
        else:
            edges = continuous_box(lam, rng.random((len(lam), 2)) * (height, width), height, width)
        weight = kept_share(edges, height, width) if self.label == "area" else lam
        mask, box = (
            box_mask(edges, height, width, x.device),
            tuple(edges[0].tolist()) if len(lam) == 1 else None,
        )
        return Mix(perm, to_device(weight, x), mask, box=box)
