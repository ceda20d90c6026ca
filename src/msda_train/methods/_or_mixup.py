"""What methods for transformers share, as timm's training has it: in some of the batches they are mixup."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng, draw_lam
from msda_train.methods._pairwise import Pairwise, blended, check_batch_alone


@dataclass(frozen=True)
class OrMixup(Pairwise):
    """mixup_prob: share of the batches that are mixed by mixup, with lam ~ Beta(mixup_alpha, mixup_alpha);
    in the others a method does what it calls `cut`. The batch is reversed."""

    pairing: str = "reversal"
    mixup_prob: float = 0.5
    mixup_alpha: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("method.mixup_prob", self.mixup_prob)
        checks.positive("method.mixup_alpha", self.mixup_alpha)
        check_batch_alone(self, "cutmix")

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        if rng.random() >= self.mixup_prob:
            return self.cut(x, y, lam, perm, model, rng)
        return blended(draw_lam(rng, self.mixup_alpha, len(lam)), perm, x)

    def cut(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """The method's own plan; see `Pairwise.mix`."""
        raise NotImplementedError
