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
from functools import reduce

import numpy as np
import torch
from torch import Tensor

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
    Shares on a finer grid are as good as the saliency itself.
    """
    size = saliency.shape[-1] // blocks
    cells = _pool(_pool(saliency, 1, size).permute(1, 2, 0).contiguous(), 1, size)
    total = cells.sum(dim=(0, 1))
    return torch.where(total > 0, cells / total, 1 / blocks**2).permute(2, 0, 1)


def _pool(t: Tensor, dim: int, size: int) -> Tensor:
    """Sums of `size` neighbours along a dimension. A few slices are added faster than sum() does it."""
    parts = t.unflatten(dim, (-1, size))
    total: Tensor = reduce(torch.add, parts.unbind(dim + 1)) if size <= 4 else parts.sum(dim + 1)
    return total


def prior(lam: np.ndarray, levels: int) -> np.ndarray:
    """(n, L) of -log Binomial(L - 1, 1 - lam) at each label, for lam (n,): label 0 is the image itself."""
    order, label, lam = levels - 1, np.arange(levels), lam[:, None]
    ways = np.array([math.comb(order, i) for i in range(levels)])
    return -np.log(ways * lam ** (order - label) * (1 - lam) ** label + EPSILON)


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
    smooth = options.beta / (16 * n)
    # Batch last from here to the solver: every slice is contiguous along it.
    rows = _pool(x.permute(0, 2, 3, 1), 1, neigh)  # channels last first: whole lines are added
    colours = _pool(rows.permute(3, 1, 2, 0).contiguous(), 2, neigh)
    # So scaled, absolute differences along a cell's border add up to half of what its colour step costs.
    scale = smooth * options.gamma / (2 * x.shape[1] * neigh * cell)
    colours = colours * (std * scale).view(-1, 1, 1, 1)
    colours = torch.stack([colours, colours.index_select(-1, perm)])
    take = share.permute(1, 2, 0)  # lost where the partner's cell is taken
    fees = torch.stack([take.index_select(-1, perm), take])  # of the image's own cell, of the partner's
    down = _fold(fees, colours, smooth)
    right = _fold(fees.transpose(1, 2), colours.transpose(2, 3), smooth).transpose(0, 1)
    t = torch.linspace(0, 1, levels, dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)
    chance = torch.as_tensor(prior(lam, levels).T * (options.eta / n**2), dtype=x.dtype)
    unary = torch.lerp(fees[0], fees[1], t).add_(chance.to(x.device, non_blocking=True)[:, None, None])
    return Terms(unary.permute(3, 0, 1, 2), down.permute(2, 0, 1), right.permute(2, 0, 1))


def _fold(fees: Tensor, colours: Tensor, smooth: float) -> Tensor:
    """Weights (n - 1, n, B) of the borders between upper and lower cells.

    Adds the rest of the colour steps there to `fees` (2, n, n, B) of showing the image itself, the partner.
    colours (2, C, m, m, B): theirs, m a multiple of n, scaled so that absolute differences along a border add
    up to half its cost.
    """
    n = fees.shape[1]
    channels = colours.unflatten(2, (n, -1)).unbind(1)  # one after the other stays in the cache
    steps = reduce(torch.add, ((c[:, None, :-1, -1] - c[None, :, 1:, 0]).abs_() for c in channels))
    steps = _pool(steps, 3, steps.shape[3] // n)  # (2, 2, n - 1, n, B): above, below
    fees[:, :-1] += steps[:, 0] + steps[:, 1]
    fees[:, 1:] += steps[0] + steps[1]
    (own_own, own_other), (other_own, other_other) = steps
    weight: Tensor = (own_other + other_own).sub_(own_own).sub_(other_other).add_(smooth).clamp_(min=0)
    return weight


def energy(terms: Terms, labels: Tensor) -> Tensor:
    """(B,) energies of labels (B, n, n) int64."""
    levels = terms.unary.shape[1]
    at = labels.to(terms.unary.dtype) / (levels - 1)
    total = terms.unary.gather(1, labels[:, None]).sum(dim=(1, 2, 3))
    total = total + (terms.down * at.diff(dim=1) ** 2).sum(dim=(1, 2))
    return total + (terms.right * at.diff(dim=2) ** 2).sum(dim=(1, 2))
