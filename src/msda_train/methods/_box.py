"""CutMix's box and its label weight: what CutMix and the methods that begin with it share."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask, centred_box, continuous_box, draw_centre, kept_share
from msda_train.methods._pairwise import Pairwise, to_device


@dataclass(frozen=True)
class PastesBox(Pairwise):
    """x~ = M x + (1 - M) x[perm]; M is 0 in a box of about 1 - lam of the image, else 1. The options are
    those of CutMix (`methods/cutmix.py`), whose head says where they come from."""

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
        return self.boxed(x, lam, perm, rng, picture_size(x))

    def boxed(
        self, x: Tensor, lam: np.ndarray, perm: Tensor, rng: Rng, size: tuple[int, int], depth: int = 0
    ) -> Mix:
        """The plan for a batch x, given lam (B,) or (1,) float64 and perm (B,): boxes are drawn on a map of
        this `size`, height and width, and weigh labels by what they really cover of it. It is the map at
        `depth`: of the pixels, or of features."""
        height, width = size
        lam = lam if self.fixed_lam is None else np.full_like(lam, self.fixed_lam)
        if self.corners == "integer":
            edges = centred_box(lam, draw_centre(rng, len(lam), height, width), height, width)
        else:
            edges = continuous_box(lam, rng.random((len(lam), 2)) * (height, width), height, width)
        kept = kept_share(edges, height, width)
        weight = {"area": kept, "sampled": lam, "major": kept >= 0.5, "half": np.full_like(kept, 0.5)}
        mix = Mix(perm, to_device(weight[self.label], x), box_mask(edges, height, width, x.device), depth)
        return replace(mix, box=tuple(edges[0].tolist())) if len(lam) == 1 and depth == 0 else mix
