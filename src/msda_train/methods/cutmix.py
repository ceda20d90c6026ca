"""CutMix pastes a box of the partner; the labels are weighted by the area.

Yun et al., ICCV 2019, arXiv:1905.04899, equations (1) and (2). Code: clovaai/CutMix-PyTorch train.py, which
we follow: one coin, lam, box and permutation per batch, integer centre, sides and halves truncated, the box
clipped, and lam then *re-adjusted* to the realised area. The authors' first runs kept the sampled lam
(their issue 1): `label=sampled`. The paper's appendix has a real-valued centre and rounded corners:
`corners=continuous`. Table 8's variants: `label=major` commits to the label of the larger part (One-hot
CutMix), `label=half` gives both 0.5 (Complete-label), and `fixed_lam=0.75`, a box of half the side, 16 of 32
pixels, takes the place of the drawn lam (Fixed-size). The deviation of its Gaussian centres is not stated.
`prob` is 0.5 on CIFAR with PyramidNet-200, 1.0 on ImageNet and with ResNet-110 (their
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
    fixed_lam: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.label", self.label, ("area", "sampled", "major", "half"))
        checks.one_of("method.corners", self.corners, ("integer", "continuous"))
        if self.fixed_lam is not None:
            checks.fraction("method.fixed_lam", self.fixed_lam)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        height, width = picture_size(x)
        lam = lam if self.fixed_lam is None else np.full_like(lam, self.fixed_lam)
        if self.corners == "integer":
            edges = centred_box(lam, draw_centre(rng, len(lam), height, width), height, width)
        else:
            edges = continuous_box(lam, rng.random((len(lam), 2)) * (height, width), height, width)
        kept = kept_share(edges, height, width)
        weight = {"area": kept, "sampled": lam, "major": kept >= 0.5, "half": np.full_like(kept, 0.5)}
        box = tuple(edges[0].tolist()) if len(lam) == 1 else None
        mask = box_mask(edges, height, width, x.device)
        return Mix(perm, to_device(weight[self.label], x), mask, box=box)
