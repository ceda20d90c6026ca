"""The energy that a Puzzle Mix mask minimises.

Kim, Choo & Song, ICML 2020, arXiv:2009.06962, equation (5); code: snu-mllab/PuzzleMix mixup.py. Every cell of
an n x n grid gets a label l of L: 0 keeps the image's own cell, L - 1 takes the partner's, those between mix.
It pays
- t * (own saliency) + (1 - t) * (partner's saliency), t = l / (L - 1): what the mask hides;
- -eta / n^2 * log of the binomial probability of l: masks near the drawn lam are likelier;
- per border between cells, weight * (l - l')^2 / (L - 1)^2: smooth masks, smoother where the images differ.
The authors fold the colour steps that a pair of labels makes, p(own|own) .. p(other|other), into both cells'
costs and one weight; we do the same. That weight is at least (1 - gamma) * beta / (16 n) for pixels in
[0, 1]: with gamma <= 1 the problem is submodular and has one exact cut. The authors solve it by alpha-beta
swaps, in integers of 1 / (1000 n^2); here costs are floats, shares of an image's saliency.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-8  # the authors': keeps the prior finite at lam = 0 and 1


@dataclass(frozen=True)
class Weights:
    """Options of the energy, the authors' defaults."""

    levels: int = 3
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    neigh_size: int = 4


@dataclass(frozen=True)
class Terms:
    """A batch of energies: unary (B, L, n, n), weights down (B, n - 1, n) and right (B, n, n - 1), float."""

    unary: Tensor
    down: Tensor
    right: Tensor


def grid_share(saliency: Tensor, blocks: int) -> Tensor:
    """(B, n, n) share of each cell in its image's saliency (B, H, H), n = blocks a divisor of H.

    Where an image has none at all (a loss of exactly 0), every cell has the same; the authors divide by 0.
    """
    cells = F.avg_pool2d(saliency[:, None], saliency.shape[-1] // blocks)[:, 0]
    total = cells.sum(dim=(1, 2), keepdim=True)
    return torch.where(total > 0, cells / total, 1 / blocks**2)


def prior(lam: np.ndarray, levels: int) -> np.ndarray:
    """(n, L) of -log Binomial(L - 1, 1 - lam) at each label, for lam (n,): label 0 is the image itself."""
    order = levels - 1
    return np.stack(
        [-np.log(math.comb(order, i) * lam ** (order - i) * (1 - lam) ** i + EPSILON) for i in range(levels)],
        axis=1,
    )


def puzzle_terms(
    share: Tensor, x: Tensor, std: Tensor, perm: Tensor, lam: np.ndarray, options: Weights
) -> Terms:
    """The energies of a batch.

    share (B, n, n) from `grid_share`; x (B, C, H, H) normalised images; std (1, C, 1, 1), by which x was
    divided; perm (B,) partners; lam (1,) or (B,) drawn weights. n divides H and min(neigh_size, H / n)
    divides H / n.
    """
    n, levels = share.shape[-1], options.levels
    cell = x.shape[-1] // n
    neigh = min(options.neigh_size, cell)
    # Batch last from here to the solver: every slice is contiguous along it.
    colours = (F.avg_pool2d(x, neigh) * (std / x.shape[1])).permute(1, 2, 3, 0).contiguous()
    take = share.permute(1, 2, 0).contiguous()  # lost where the partner's cell is taken
    keep = take.index_select(-1, perm)  # lost where the image's own cell is kept
    pairs = colours, colours.index_select(-1, perm)
    smooth = options.beta / (16 * n)
    down = _fold(keep, take, *pairs, perm, smooth, options.gamma)
    keep_, take_, own_, other_ = (t.transpose(-3, -2) for t in (keep, take, *pairs))
    right = _fold(keep_, take_, own_, other_, perm, smooth, options.gamma).transpose(0, 1)
    t = torch.arange(levels, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1) / (levels - 1)
    chance = torch.as_tensor(prior(lam, levels).T * (options.eta / n**2), dtype=x.dtype)
    unary = t * take + (1 - t) * keep + chance.to(x.device, non_blocking=True)[:, None, None]
    return Terms(unary.permute(3, 0, 1, 2), down.permute(2, 0, 1), right.permute(2, 0, 1))


def _fold(
    keep: Tensor, take: Tensor, own: Tensor, other: Tensor, perm: Tensor, smooth: float, gamma: float
) -> Tensor:
    """Weights (n - 1, n, B) of the borders between upper and lower cells; adds the rest of the colour steps
    there to `keep` and `take` (n, n, B). own, other (C, m, m, B): pooled colours, scaled so that the sum over
    channels is a mean of pixels; m a multiple of n."""
    n = len(keep)
    own, other = own.unflatten(1, (n, -1)), other.unflatten(1, (n, -1))
    upper, lower, upper_, lower_ = own[:, :-1, -1], own[:, 1:, 0], other[:, :-1, -1], other[:, 1:, 0]

    def step(above: Tensor, below: Tensor) -> Tensor:
        return (above - below).abs_().sum(0).unflatten(1, (n, -1)).mean(2).mul_(smooth * gamma)

    own_own, own_other, other_own = step(upper, lower), step(upper, lower_), step(upper_, lower)
    other_other = own_own.index_select(-1, perm)
    keep[:-1] += (own_other + own_own) / 2
    keep[1:] += (other_own + own_own) / 2
    take[:-1] += (other_own + other_other) / 2
    take[1:] += (own_other + other_other) / 2
    return (smooth + (own_other + other_own - own_own - other_other) / 2).clamp_(min=0)


def energy(terms: Terms, labels: Tensor) -> Tensor:
    """(B,) energies of labels (B, n, n) int64."""
    levels = terms.unary.shape[1]
    at = labels.to(terms.unary.dtype) / (levels - 1)
    total = terms.unary.gather(1, labels[:, None]).sum(dim=(1, 2, 3))
    total = total + (terms.down * at.diff(dim=1) ** 2).sum(dim=(1, 2))
    return total + (terms.right * at.diff(dim=2) ** 2).sum(dim=(1, 2))
