"""RegMixup trains on the clean batch and on its mixup, together.

Pinto, Yang, Lim, Torr & Dokania, NeurIPS 2022, arXiv:2206.14502. CE(clean) + eta CE(mixed), eta 1. Code:
FrancescoPinto/RegMixup models/regmixup.py, which we follow: 2B images in one pass, clean ones first, so that
BatchNorm sees both; one lam ~ Beta(alpha, alpha) and permutation per batch; no coin. alpha is 20 on CIFAR-10,
10 on CIFAR-100 there (commands.sh): lam near 0.5. Its loss is the mean over all 2B, half of the equation's
sum: `loss=mean`, and the published numbers' (torch-uncertainty's RegMixup, too). `loss=sum` is the equation,
and with recipe.batchnorm_parts=2 it is YutingLi0606/SURE, which passes the two halves one after the other.

Twice ERM's work per step. On several devices each takes its rows of all 2B.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows
from msda_train.core.randomness import Rng
from msda_train.methods._pairwise import FROM_ALL
from msda_train.methods.mixup import Mixup


@dataclass(frozen=True)
class RegMixup(Mixup):
    """x and x~ = lam x + (1 - lam) x[perm], together."""

    alpha: float = 20.0
    loss: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.loss", self.loss, ("mean", "sum"))
        if self.pairing in FROM_ALL:
            raise UserError(
                f"method.pairing={self.pairing}: clean images and partners from all of them do not go "
                f"together; type method.pairing=permutation"
            )

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        mix = super().mix(x, y, lam, perm, model, rng)
        own = torch.arange(len(x), device=x.device)
        weight = torch.cat([torch.ones_like(mix.lam).expand(len(x)), mix.lam.expand(len(x))])
        mix = replace(mix, perm=torch.cat([own, perm]), lam=weight, mask=weight.view(-1, 1, 1, 1))
        return replace(mix, own=own.repeat(2), loss=OwnLoss(_sum, name="sum") if self.loss == "sum" else None)


def _sum(logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion) -> Tensor:
    """Two means over B are twice that over 2B."""
    return 2 * criterion(logits, target)
