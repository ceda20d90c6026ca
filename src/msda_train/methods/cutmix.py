"""CutMix pastes a box of the partner; the labels are weighted by the area.

Yun et al., ICCV 2019, arXiv:1905.04899, equations (1) and (2). Code: clovaai/CutMix-PyTorch train.py, which
we follow: one coin, lam, box and permutation per batch, integer centre, sides and halves truncated, the box
clipped, and lam then *re-adjusted* to the realised area. The authors' first runs kept the sampled lam
(their issue 1): `label=sampled`. The paper's appendix has a real-valued centre and rounded corners:
`corners=continuous`. Table 8's variants: `label=major` commits to the label of the larger part (One-hot
CutMix), `label=half` gives both 0.5 (Complete-label), and `fixed_lam=0.75`, a box of half the side, 16 of 32
pixels, takes the place of the drawn lam (Fixed-size). The deviation of its Gaussian centres is not stated.
Scheduled CutMix: the probability grows linearly over training, "from 0 to 1": `prob_schedule=linear prob=1`.
What a step is in the paper is not stated; here it is a batch, and of T the t-th, from 0, has prob t / T.
Feature CutMix cuts "at a randomly chosen layer per minibatch as Manifold Mixup does" (section 4.1.1): of
`depths` one is drawn, and the box on the map that is there, whose area weighs the labels. Which layers is not
stated; Manifold Mixup's are [0, 1, 2].
`prob` is 0.5 on CIFAR with PyramidNet-200, 1.0 on ImageNet and with ResNet-110 (their issues 30 and 10).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._box import PastesBox
from msda_train.methods._depths import check_depths, check_reach, draw_depth, map_size


@dataclass(frozen=True)
class CutMix(PastesBox):
    """x~ = M x + (1 - M) x[perm]; M is 0 in a box of about 1 - lam of the image, else 1."""

    depths: Sequence[int] = (0,)
    prob_schedule: str = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depths(self.depths)
        checks.one_of("method.prob_schedule", self.prob_schedule, ("constant", "linear"))

    @property
    def whole_numbers(self) -> bool:
        """Whether images may be uint8: a network takes none."""
        return not self._deep

    @property
    def _deep(self) -> bool:
        return list(self.depths) != [0]

    def prepare(self, network: Any, batches: Iterable[Tensor]) -> "CutMix":
        """See `msda_train.core.mix.Prepares`. Raises UserError where the network has no such depth."""
        if self._deep:
            check_reach(self.depths, network)
        return self

    def changes(self) -> bool:
        """See `msda_train.core.course.Changes`."""
        return self.prob_schedule == "linear"

    def in_course(self, done: float) -> "CutMix":
        """See `msda_train.core.course.Changes`: prob grows from 0 to what it is."""
        return replace(self, prob=self.prob * done, prob_schedule="constant") if self.changes() else self

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        if self.changes():
            raise UserError(
                "method.prob_schedule=linear: how far training is, nobody says here; "
                "type method.prob_schedule=constant"
            )
        return super().plan(x, y, model, rng)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        depth = draw_depth(self.depths, rng) if self._deep else 0
        return self.boxed(x, lam, perm, rng, map_size(x, depth, model), depth)
