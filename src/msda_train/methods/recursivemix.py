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
from torch.nn import functional as F
from torchvision.ops import roi_align

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.losses import cross_entropy
from msda_train.functional.masks import box_mask, centred_box, draw_centre, kept_share
from msda_train.methods._pairwise import to_device
from msda_train.models.second_head import give_second_head, heads, keep_features, take_features
from msda_train.models.staged import GlobalMean


@dataclass(frozen=True)
class _Recursive(Mix):
    """labels: (B, K) float32, of the images that are pasted."""

    labels: Tensor | None = None

    def target(self, y: Tensor, classes: int) -> Tensor:
        """(B, K) float32: lam of the own class, the rest of `labels`."""
        assert self.labels is not None
        return torch.lerp(self.labels, F.one_hot(y, classes).float(), self.lam[:, None])


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
        if self.head == "own":
            give_second_head(network, classes, GlobalMean)
        else:
            keep_features(network, GlobalMean)

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
        pasted, corners = torch.zeros_like(x), True if self.resize == "bilinear" else None
        if bottom > top and right > left:
            size = (bottom - top, right - left)
            shrunk = F.interpolate(old, size, mode=self.resize, align_corners=corners)
            pasted[:, :, top:bottom, left:right] = shrunk
        box = [left, top, right, bottom] if self.roi == "box" else [top, left, bottom, right]
        rows = (logits, to_device(np.array([box]) / width, x), lam)
        more = {"sources": (x, pasted), "loss": OwnLoss(self.consistent, rows, repr(self))}
        mask = box_mask(edges, height, width, x.device)
        return _Recursive(torch.arange(len(x), device=x.device), lam, mask, labels=labels, **more)

    def consistent(
        self,
        logits: Tensor,
        target: Tensor,
        rows: tuple[Tensor, ...],
        network: nn.Module,
        criterion: Criterion,
    ) -> Tensor:
        """The criterion and the second loss; see `msda_train.core.mix.OwnLoss`."""
        loss, features, (_, head) = criterion(logits, target), take_features(network), heads(network)
        if not rows:
            return loss + 0 * head(features.mean(dim=(2, 3))).sum()
        old, box, lam = rows
        index = torch.arange(len(features), device=features.device, dtype=features.dtype)
        boxes = torch.cat([index[:, None], (box * features.shape[-1]).expand(len(features), 4)], dim=1)
        said = head(roi_align(features, boxes, output_size=1, aligned=True).flatten(1))
        return loss + self.omega * (1 - lam[0]) * cross_entropy(said, old.softmax(dim=1))
