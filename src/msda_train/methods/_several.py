"""Mixes of several images each, all of them from permutations of the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msda_train.core.mix import Mix


def collage(x: Tensor, perms: Sequence[Tensor], masks: Tensor) -> Tensor:
    """(B, C, H, W), of every image of a mix its share: N perms (B,) and masks (B|1, N, H|1, W|1)."""
    return torch.stack([x[p] * masks[:, i : i + 1] for i, p in enumerate(perms)]).sum(dim=0)


def planned(x: Tensor, perms: Sequence[Tensor], masks: Tensor, lam: Sequence[float]) -> Mix:
    """The plan of such a mix, in which the labels of image i count lam_i."""
    shares = masks.new_zeros(len(x), len(x))
    for perm, weight in zip(perms, lam, strict=True):
        shares.scatter_add_(1, perm[:, None], shares.new_full((len(x), 1), weight))
    everyone, one = torch.arange(len(x), device=x.device), masks.new_ones(1, 1, 1, 1)
    sources = (collage(x, perms, masks), x.new_zeros(()))
    return Mix(everyone, shares.diagonal(), one, sources=sources, shares=shares)
