"""SUMix corrects a mixed image's label weight by the network's answers, and learns how uncertain these are.

Qin, Jin, Zhu, Liao, El-Yacoubi & Gao, ECCV 2024, arXiv:2407.07805. Code: JinXins/SUMix
openmixup/models/heads/cls_mixup_head.py (IN_loss), which we follow. Clean and mixed images pass the network;
p, p' and q are the softmax of an image, its partner and their mix, without gradients, p without the partner's
class and p' without the own; n divides by the 2-norm, B is the number of images in the batch:

    alpha = B n(softmax(q - p)),  alpha' = B n(softmax(q - p')),
    w = lam exp(-alpha_y) / (lam exp(-alpha_y) + (1 - lam) exp(-alpha'_y')),

the criterion on the label w y + (1 - w) y', and gamma times the cross-entropy of "logits" exp(-(alpha +
beta)) on y, weighted lam, and of exp(-(alpha' + beta')) on y', weighted 1 - lam. beta = u + v and beta' = u'
+ v are the uncertainties of an image (partner) and of the mix: n(softmax) of a second linear head, first
weights normal 0.01. It goes with any mixing: `mixing=cutmix` or `mixup`. In that code the losses are means
over the batch before w weights them, so that only w's mean counts: `weight=batch`, the published numbers';
`sample` is the equation above. JohnR31N/SUMix-JAX has `weight=sample`, and `variant=jax`: no factor B,
-(alpha + beta) without exp, gamma 0.1. As released, the authors' loss returns a name that it does not define.
CIFAR-100: alpha 0.2, gamma 0.5.

There the clean and the mixed batch pass one after the other: recipe.batchnorm_parts=2; else BatchNorm sees
both at once. With K classes alpha is about B / sqrt(K): at B = K = 100 the exponential is below 1e-4, the
second loss all but log K, and its gradient all but 0. Twice ERM's work per step; needs one device.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, one_hot
from msda_train.core.randomness import Rng
from msda_train.functional.losses import cross_entropy
from msda_train.methods._box import PastesBox
from msda_train.methods._pairwise import blended, check_batch_alone
from msda_train.models.second_head import give_second_head, said_of_all, unasked


@dataclass(frozen=True)
class SUMix(PastesBox):
    """x~ = M x + (1 - M) x[perm], after x itself: a plan for 2B samples."""

    alpha: float = 0.2
    prob: float = 1.0
    mixing: str = "cutmix"
    gamma: float = 0.5
    weight: str = "batch"
    variant: str = "authors"

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.mixing", self.mixing, ("cutmix", "mixup"))
        checks.non_negative("method.gamma", self.gamma)
        checks.one_of("method.weight", self.weight, ("batch", "sample"))
        checks.one_of("method.variant", self.variant, ("authors", "jax"))
        check_batch_alone(self, "cutmix")

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        head = give_second_head(network, classes)
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`: where nothing is mixed, the second head is not asked."""
        mix = super().plan(x, y, model, rng)
        return mix if mix.loss else replace(mix, loss=OwnLoss(unasked, name="unasked"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        plan = blended(lam, perm, x) if self.mixing == "mixup" else super().mix(x, y, lam, perm, model, rng)
        own = torch.arange(len(x), device=x.device)
        share = plan.lam.expand(len(x)).contiguous()  # `logit` rounds views otherwise
        loss = OwnLoss(self.judged, (y, y[perm], perm, share), repr(self))
        parts = share, plan.mask.expand(len(x), -1, -1, -1)
        weight, mask = (torch.cat([torch.ones_like(part), part]) for part in parts)
        return Mix(torch.cat([own, perm]), weight, mask, own=own.repeat(2), loss=loss)

    def judged(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """Both losses; see `msda_train.core.mix.OwnLoss`."""
        own, other, perm, lam = rows
        scale = len(own) if self.variant == "authors" else 1
        clean, mixed = logits.detach().softmax(dim=1).chunk(2)
        one, partner = clean.scatter(1, other[:, None], 0), clean[perm].scatter(1, own[:, None], 0)
        alphas = [scale * F.normalize((mixed - p).softmax(dim=1)) for p in (one, partner)]
        unsure, unsure_mixed = F.normalize(said_of_all(network).softmax(dim=1)).chunk(2)
        betas = [unsure + unsure_mixed, unsure[perm] + unsure_mixed]
        at = [a.gather(1, y[:, None])[:, 0] for a, y in zip(alphas, (own, other), strict=True)]
        w = torch.sigmoid(lam.logit() + at[1] - at[0])
        w = w.mean().expand(len(w)) if self.weight == "batch" else w
        labels = [one_hot(y, target.shape[1]) for y in (own, other)]
        loss = criterion(logits.chunk(2)[1], torch.lerp(labels[1], labels[0], w[:, None]))
        for alpha, beta, label, part in zip(alphas, betas, labels, (lam, 1 - lam), strict=True):
            found = (-(alpha + beta)).exp() if self.variant == "authors" else -(alpha + beta)
            loss = loss + self.gamma * cross_entropy(found, part[:, None] * label)
        return loss
