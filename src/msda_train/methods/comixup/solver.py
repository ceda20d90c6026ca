"""Co-Mixup's joint choice: each block of each output of a part shows one image, or half of each of two.

Kim, Choo, Jeong & Song, ICLR 2021, arXiv:2102.03065, and snu-mllab/Co-Mixup match.py. A part has n images
and n outputs of h x w blocks, S = h * w; P parts are solved side by side. n_j (n,) counts the blocks of
each image in output j (halves as 1/2), p_j = sum of n_k over the other outputs k. Minimised is

    cost of the shown images - HALF_BONUS * half blocks + beta/S * distances of neighbouring blocks
    + gamma/S * sum_j n_j . crowding(A p_j),   crowding(v) = v where v > threshold * S, else 0,

by the authors' iteration: output after output, the others enter as a price 2 gamma/S * crowding(A p_j) per
image, which leaves one labelling of a grid. The distance is theirs: 0 between equal blocks, 1/4 between an
image and a half of it, else 1. Half blocks are on offer from the second pass on, between the two or three
images that the output shows most. Before the last pass, outputs with the same set of images are driven
apart.

What differs from their code. They start every cut afresh (alpha-beta swaps, gco library); we make expansion
moves (comix_grid) from the output as it stands, afresh only in the first pass, and keep half blocks on offer
once they were: without a threshold the objective then never rises from the second pass on. With one it may,
in their code too: whether an image passes the threshold for the *other* outputs is no part of its price. We
always make all passes; theirs stop once the objective, without A and threshold, changes by less than a
millionth.

NumPy float64 on the host; a grid is (..., h, w, 2) integers, a block's two images, equal where it shows
one.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from msda_train.methods.comixup.grid import lowest_labels

HALF_BONUS = 5e-4  # match.py: half blocks win ties
HALF_DISTANCE = 0.25
HALVES = 3  # offered at a time: the pairs of three images


@dataclass(frozen=True)
class Objective:
    """What P parts minimise.

    cost: (P, n, h, w), of showing each image in each block, the prior included; alike: (P, n, n), the
    symmetric matrix A; beta, gamma, threshold: as published, not yet in terms of the number of blocks.
    """

    cost: np.ndarray
    alike: np.ndarray
    beta: float
    gamma: float
    threshold: float

    @property
    def blocks(self) -> int:
        """S, blocks of a grid."""
        count: int = self.cost.shape[-2] * self.cost.shape[-1]
        return count

    def crowding(self, others: np.ndarray) -> np.ndarray:
        """(P, n) A p where above the threshold, else 0; others (P, n): the counts p of the other outputs."""
        crowd = (self.alike @ others[..., None])[..., 0]
        return np.where(crowd > self.threshold * self.blocks, crowd, 0.0)

    def value(self, grids: np.ndarray) -> np.ndarray:
        """(P,) values of grids (P, n, h, w, 2)."""
        counts = image_counts(grids, self.cost.shape[1])
        total = np.zeros(len(grids))
        for j in range(grids.shape[1]):
            crowd = (counts[:, j] * self.crowding(_others(counts, j))).sum(axis=1)
            total += self.energy(grids[:, j]) + self.gamma / self.blocks * crowd
        return total

    def energy(self, grid: np.ndarray) -> np.ndarray:
        """(P,) cost, bonus and smoothness of one output each, grid (P, h, w, 2)."""
        shown = np.take_along_axis(self.cost, np.moveaxis(grid, -1, 1), axis=1).mean(axis=1)
        unary = shown - HALF_BONUS * (grid[..., 0] != grid[..., 1])
        right = block_distance(grid[:, :, :-1], grid[:, :, 1:]).sum(axis=(1, 2))
        down = block_distance(grid[:, :-1], grid[:, 1:]).sum(axis=(1, 2))
        energy: np.ndarray = unary.sum(axis=(1, 2)) + self.beta / self.blocks * (right + down)
        return energy


def solve(
    objective: Objective, start: np.ndarray, *, passes: int, resolve: bool = True, halves: bool = True
) -> np.ndarray:
    """Grids (P, n, h, w, 2) from pure starts (P, n, h, w): each output `passes` times, given the others.

    resolve: drive equal outputs apart in the last pass; halves: offer half blocks.
    """
    parts, n = start.shape[:2]
    grids = np.stack([start, start], axis=-1)
    counts = image_counts(grids, n)
    offered = [np.zeros((parts, 0, 2), dtype=start.dtype)] * n
    apart = np.zeros(counts.shape)
    for step in range(passes):
        for j in range(n):
            price = 2 * objective.crowding(_others(counts, j)) + apart[:, j]
            cost = objective.cost + (objective.gamma / objective.blocks * price)[:, :, None, None]
            if halves and step:
                offered[j] = np.concatenate([offered[j], offer_halves(counts[:, j])], axis=1)
            current = grids[:, j] if step else None
            grids[:, j] = _lower(cost, offered[j], objective.beta / objective.blocks, current)
            counts[:, j] = image_counts(grids[:, j], n)
        if resolve and step == passes - 2:
            apart = drive_apart(counts > 0)
    return grids


def image_counts(grids: np.ndarray, n: int) -> np.ndarray:
    """(..., n) blocks that each of n images fills in each grid (..., h, w, 2), half blocks as 1/2."""
    counts: np.ndarray = (grids[..., None] == np.arange(n)).sum(axis=(-4, -3, -2)) / 2
    return counts


def block_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) distances of blocks a and b (..., 2), each a pair of images in ascending order."""
    equal = (a == b).all(axis=-1)
    shared = (a == b).any(axis=-1) | (a[..., 0] == b[..., 1]) | (a[..., 1] == b[..., 0])
    half_and_image = (a[..., 0] == a[..., 1]) != (b[..., 0] == b[..., 1])
    return np.where(equal, 0.0, np.where(shared & half_and_image, HALF_DISTANCE, 1.0))


def offer_halves(counts: np.ndarray) -> np.ndarray:
    """(P, HALVES, 2) half blocks on offer, from the counts (P, n) of the images that an output shows.

    Two images: their pair; more: the pairs of the three with most blocks, ties to the lower number. Unused
    places hold pure image 0, which is on offer anyway.
    """
    top = np.argsort(-counts, axis=1, kind="stable")[:, :3]
    shown = (counts > 0).sum(axis=1)
    offered = np.zeros((len(counts), HALVES, 2), dtype=top.dtype)
    for place, (a, b) in enumerate(combinations(range(top.shape[1]), 2)):
        offered[:, place] = np.where((shown > b)[:, None], np.sort(top[:, [a, b]], axis=1), 0)
    return offered


def drive_apart(shown: np.ndarray) -> np.ndarray:
    """(P, n, n) extra prices, 0 or 1, from which images each output shows, booleans (P, n outputs, n images).

    Of two outputs with the same set of two or more images, the first pays for its first image, the second for
    its second.
    """
    apart = np.zeros(shown.shape)
    for part, a, b in np.argwhere((shown[:, :, None] == shown[:, None]).all(axis=-1)):
        images = np.flatnonzero(shown[part, a])
        if a < b and len(images) > 1:
            apart[part, a, images[0]] = apart[part, b, images[1]] = 1
    return apart


def _others(counts: np.ndarray, j: int) -> np.ndarray:
    """(P, n) counts of all outputs but j; counts (P, n outputs, n images)."""
    others: np.ndarray = counts.sum(axis=1) - counts[:, j]
    return others


def _lower(cost: np.ndarray, halves: np.ndarray, weight: float, current: np.ndarray | None) -> np.ndarray:
    """A low grid (P, h, w, 2) of one output per part: cost (P, n, h, w), smoothness weight, half blocks on
    offer (P, ., 2). From `current` (P, h, w, 2), of pure and offered blocks, or from each block's best."""
    parts, n = cost.shape[:2]
    pure = np.broadcast_to(np.arange(n)[None, :, None], (parts, n, 2))
    offered = np.concatenate([pure, halves], axis=1)
    part = np.arange(parts)[:, None]
    unary = (cost[part, offered[..., 0]] + cost[part, offered[..., 1]]) / 2
    unary -= HALF_BONUS * (offered[..., 0] != offered[..., 1])[:, :, None, None]

    # A label that costs more than a block's best one by over four edges, in every block, never pays: the
    # price of crowding rules out most of them.
    useful = (unary - unary.min(axis=1, keepdims=True) <= 4 * weight).any(axis=(2, 3))
    order = np.argsort(~useful, axis=1, kind="stable")[:, : useful.sum(axis=1).max()]
    offered, unary = offered[part, order], unary[part, order].transpose(2, 3, 0, 1)

    start = unary.argmin(axis=-1)
    if current is not None:
        same = (offered == current.transpose(1, 2, 0, 3)[:, :, :, None]).all(axis=-1)
        start = np.where(same.any(axis=-1), same.argmax(axis=-1), start)
    distance = weight * block_distance(offered[:, :, None], offered[:, None])
    labels = lowest_labels(np.ascontiguousarray(unary), distance, start)
    chosen: np.ndarray = offered[part[:, 0], labels].transpose(2, 0, 1, 3)
    return chosen
