"""Attentive CutMix pastes the cells of an image that a trained classifier looks at onto another image.

Walawalkar et al., ICASSP 2020, arXiv:2003.13048; code (not the authors'): xden2331/attentive_cutmix. The
k = 6 of 7 x 7 cells with the sample's largest attention are pasted on its partner: lam is k/49 = 0.12, and
the partner's label is the major one.

Where cells do not divide the image, `borders=soft` weighs a pixel by its area in each, as enlarging it to 224
pixels and reducing it again does, and lam stays k/49 exactly; `hard` moves whole pixels, and lam with them.

Ours differs: partners come from the same batch, cropped and flipped (that code: raw, from all training
images); the teacher is in evaluation mode (there: training mode, one image at a time); attention is the mean
over channels (there: `last_channel`, likely a slip; one committed state has 8 x 8 cells of the first stage).
Crop and flip come first, so every step asks the teacher. `cached=true` (ours) asks once, about every image
and its mirror image; answers move with the crop: ERM's time, over half of the same cells.

`variant=openmixup` is AttentiveMix+ (Westlake-AI/openmixup): int(cells * lam) of them, at least one, with
lam ~ Beta(alpha, 8); the label is the mask's mean, here each sample's own. Its other choices:
method.teacher=resnet18 method.teacher_input=normalised method.borders=hard.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.methods._attention import over_pixels, top_cells
from msda_train.methods._teacher_guided import TeacherGuided

BETA = 8.0  # openmixup's second parameter


@dataclass(frozen=True)
class AttentiveCutMix(TeacherGuided):
    """x~ = M x + (1 - M) x[perm]; M is 1 in the sample's own k most attentive cells, else 0."""

    alpha: float = 2.0
    k: int = 6
    variant: str = "paper"
    borders: str = "soft"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("method.k", self.k, least=1)
        checks.one_of("method.variant", self.variant, ("paper", "openmixup"))
        checks.one_of("method.borders", self.borders, ("soft", "hard"))

    def paste(self, attention: Tensor, x: Tensor, lam: np.ndarray, perm: Tensor, rng: Rng) -> Mix:
        """See `TeacherGuided.paste`. Raises UserError where the grid has fewer than k cells."""
        cells, (height, width) = attention[0].numel(), picture_size(x)
        if self.variant == "openmixup":
            count = np.clip((cells * rng.beta(self.alpha, BETA, len(lam))).astype(np.int64), 1, cells)
        elif self.k <= cells:
            count = np.array([self.k])
        else:
            raise UserError(f"method.k={self.k}: the teacher's grid has {cells} cells; type a smaller one")
        chosen = top_cells(attention, torch.from_numpy(count).to(x.device, non_blocking=True))
        mask = over_pixels(chosen, height, width, self.borders)
        return Mix(perm, mask.mean(dim=(1, 2, 3)), mask)
