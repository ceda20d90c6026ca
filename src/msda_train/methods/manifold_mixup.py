"""Manifold Mixup is mixup at a randomly chosen depth of the network.

Verma et al., ICML 2019, arXiv:1806.05236. Code: vikasverma1077/manifold_mixup: the depth is drawn per batch,
uniformly from {0, 1, 2}: the input, after the first and after the second group of blocks (the stem lies
between 0 and 1), one lam and permutation for features and labels, gradients through the whole graph. For
WRN the paper's appendix says input or after the first residual *block*: `model.first_mix=block
method.depths=[0,1]`. CutMix's re-implementation uses alpha = 1. The numbers were made with
`recipe.criterion=bce_softmax`. `block_gradients` is the ablation of section 5.1, "we zeroed gradient updates
immediately after the layer where mixup is applied": a gradient of zero, as torch's zero_grad left it in 2018,
so momentum and weight decay go on in the layers before. The text alone is followed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._depths import check_depths, check_reach, draw_depth
from msda_train.methods.mixup import Mixup


@dataclass(frozen=True)
class ManifoldMixup(Mixup):
    """h~ = lam h + (1 - lam) h[perm], the same for the labels, at a depth drawn from `depths`: k is the input
    of the model's stage k, 0 the pixels. block_gradients: what lies before it gets none in that step."""

    whole_numbers: ClassVar = False  # a network takes none

    alpha: float = 2.0
    depths: Sequence[int] = (0, 1, 2)
    block_gradients: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depths(self.depths)
        checks.flag("method.block_gradients", self.block_gradients)

    def prepare(self, network: Any, batches: Iterable[Tensor]) -> "ManifoldMixup":
        """See `msda_train.core.mix.Prepares`. Raises UserError where the network has no such depth."""
        check_reach(self.depths, network)
        return self

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        depth = draw_depth(self.depths, rng)
        plan = super().mix(x, y, lam, perm, model, rng)
        return replace(plan, depth=depth, blocked=self.block_gradients and depth > 0)
