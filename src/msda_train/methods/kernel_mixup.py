"""Similarity Kernel Mixup is mixup that mixes two images the more, the more alike they are.

Bouniot, Mozharovskyi & d'Alche-Buc, ICLR 2025, arXiv:2311.01434. Code: qbouniot/sim_kernel_mixup
classification/torch_uncertainty/transforms/mixup.py, which we follow. With d the squared distance of two
images' features, divided by its mean over the batch's pairs:

    tau = tau_max exp(-(d - 1) / (2 tau_std^2)),    lam' = quantile of Beta(tau, tau) at lam ~ U(0, 1).

One lam for each sample. Features are those before the classifier, of the clean batch, by the network as it
trains, without gradients: its BatchNorm counts the batch a second time. As released that code takes the
features under another name than its configs use (`kernel_warping`, `kernel_sim`). `distance=pixels` is its
other one. The paper's first version, Kernel Warping Mixup, and ENSTA-U2IS-AI/torch-uncertainty
(WarpingMixup), warp by the distribution function of Beta(1/tau, 1/tau) instead: `warping=cdf`.
torch-uncertainty also divides by the mean after it has subtracted 1 from the distance itself: `centre=one`.

About 4/3 of ERM's work per step. Warping is done on the host, which waits for the features. Needs one device.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import betainc, betaincinv
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods.mixup import Mixup
from msda_train.models.last_linear import given_to, last_linear

LIMIT = 12 * np.log(10)  # of the kernel's logarithm: the code adds 1e-12, beyond it a weight is 0, 1/2 or 1


@dataclass(frozen=True)
class KernelMixup(Mixup):
    """x~ = lam' x + (1 - lam') x[perm], the same for the labels."""

    lam_per: str = "sample"
    tau_max: float = 1.0
    tau_std: float = 0.25
    warping: str = "quantile"
    centre: str = "mean"
    distance: str = "features"

    alone: ClassVar[bool] = True
    whole_numbers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("method.tau_max", self.tau_max)
        checks.positive("method.tau_std", self.tau_std)
        checks.one_of("method.warping", self.warping, ("quantile", "cdf"))
        checks.one_of("method.centre", self.centre, ("mean", "one"))
        checks.one_of("method.distance", self.distance, ("features", "pixels"))

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        seen = x.float() if self.distance == "pixels" else last_features(model, x)
        apart = (seen - seen[perm]).flatten(1).square().sum(dim=1)
        return super().mix(x, y, self.warped(lam, apart.cpu().double().numpy()), perm, model, rng)

    def warped(self, lam: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """The pairs' weights (B,) from lam (B,) or (1,) and their squared distances (B,)."""
        mean = max(float(apart.mean()), float(np.finfo(np.float32).tiny))
        away = (apart - (mean if self.centre == "mean" else 1)) / mean
        log_tau = np.clip(np.log(self.tau_max) - away / (2 * self.tau_std**2), -LIMIT, LIMIT)
        if self.warping == "quantile":
            made: np.ndarray = betaincinv(np.exp(log_tau), np.exp(log_tau), lam)
        else:
            made = betainc(np.exp(-log_tau), np.exp(-log_tau), lam)
        return made


@torch.no_grad()
def last_features(network: nn.Module, x: Tensor) -> Tensor:
    """(B, C) float32 of images x (B, ...): what the last linear layer is given, in the mode of `network`.
    UserError where there is none."""
    linear = last_linear(network)
    if linear is None:
        raise UserError(
            "method=kernel_mixup: the network ends in no linear layer; type method.distance=pixels"
        )
    with given_to(linear) as seen:
        network(x)
    return seen[-1].float()
