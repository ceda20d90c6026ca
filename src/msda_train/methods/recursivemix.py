"""RecursiveMix pastes the last step's mixed image, shrunk, into this one's, and remembers what was predicted.

Yang, Li, Zhao, Song & Yang, NeurIPS 2022, arXiv:2203.06844. Code: implus/RecursiveMix-pytorch main.py,
utils.py and models_cifar/, which we follow. The box has a share U(0, alpha) of the image, its centre is a
uniform pixel, it is halved and clipped as CutMix's; sample i gets sample i of the step before, resized to the
box. Labels are mixed by the realised area, the old image's being the mixed label it had. A second loss is
added, omega times the area: what a linear head says of the features inside the box (RoI-Align, one cell) has
to agree with what the network said of the whole old image then. An epoch begins without a past.
omega is 0.5 on ImageNet and as a default, 0.1 on CIFAR with PyramidNet; alpha is 0.5.

- The paper's second loss is a KL divergence, the code's a cross-entropy with the softmax of the old logits:
  the same gradients, and what we do. The published runs have a head of its own for it (`head=own`, torch's
  initialisation), share_fc in that code is `head=shared`.
- The code takes rows for columns in the RoI: features are those of the box mirrored at the diagonal. The
  published numbers were made so: `roi=mirrored`; the paper's box is `roi=box`.
- resize: nearest (published) or bilinear, with corners aligned as there.
- Where the head is not asked its gradient is 0, so weight decay and momentum act on it as ever.

Needs one device: the past of the whole batch would have to be sent around.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.losses import cross_entropy
from msda_train.functional.masks import box_mask, centred_box, draw_centre, kept_share
from msda_train.methods._history import Pasted, shrunk_into
from msda_train.methods._pairwise import to_device
from msda_train.models.second_head import give_second_head, said_in_box, said_nothing
from msda_train.models.staged import GlobalMean


@dataclass(frozen=True)
class RecursiveMix:
    """x~ = M x + (1 - M) shrunk(the x~ of the step before)."""

    alpha: float = 0.5
    omega: float = 0.5
    head: str = "own"
    roi: str = "mirrored"
    resize: str = "nearest"

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        checks.fraction("method.alpha", self.alpha)
        checks.non_negative("method.omega", self.omega)
        checks.one_of("method.head", self.head, ("own", "shared"))
        checks.one_of("method.roi", self.roi, ("mirrored", "box"))
        checks.one_of("method.resize", self.resize, ("nearest", "bilinear"))

    @cached_property
    def _past(self) -> list[Tensor]:  # no field: neither compared nor printed
        return []

    def anew(self) -> "RecursiveMix":
        """See `msda_train.core.mix.Remembers`."""
        return replace(self)

    def remember(self, x: Tensor, target: Tensor, logits: Tensor) -> None:
        """See `msda_train.core.mix.Remembers`."""
        self._past[:] = [x, target, logits]

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        give_second_head(network, classes, GlobalMean, shared=self.head == "shared")

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        height, width = picture_size(x)
        if not self._past:
            return replace(Mix.identity(x), loss=OwnLoss(self.consistent, name=repr(self)))
        old, labels, logits = (each[: len(x)] for each in self._past)
        centre = draw_centre(rng, 1, height, width)
        edges = centred_box(1 - rng.uniform(0, self.alpha, 1), centre, height, width)
        lam = to_device(kept_share(edges, height, width), x)
        top, bottom, left, right = edges[0].tolist()
        pasted = shrunk_into(x, old, edges[0], self.resize)
        box = [left, top, right, bottom] if self.roi == "box" else [top, left, bottom, right]
        rows = (logits, to_device(np.array([box]) / width, x), lam)
        loss, mask = OwnLoss(self.consistent, rows, repr(self)), box_mask(edges, height, width, x.device)
        own = torch.arange(len(x), device=x.device)
        return Pasted(own, lam, mask, sources=(x, pasted), loss=loss, labels=labels)

    def consistent(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """The criterion and the second loss; see `msda_train.core.mix.OwnLoss`."""
        loss = criterion(logits, target)
        if not rows:
            return loss + said_nothing(network)
        old, box, lam = rows
        agree = cross_entropy(said_in_box(network, box), old.softmax(dim=1))
        return loss + self.omega * (1 - lam[0]) * agree
