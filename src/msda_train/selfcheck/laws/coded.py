"""Images whose pixels say whose they are, and what a mixer did with them.

Four images of one colour each: black, red, green, blue. A mixed pixel is a weighted mean of these, and as the
four are the corners of a tetrahedron, its colour has the weights in it: exactly, for any number of partners,
also where pixels are moved. Three channels, so that a mixer that wants RGB can be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msda_train.selfcheck.laws.subject import Mixer

BATCH = 4
SQUARE, OBLONG = (32, 32), (24, 40)  # (H, W)
SEEN = 1e-5  # a weight below is nothing; float32 is exact to 1e-7
CHUNK = 200  # calls decoded together


def coded_batch(batch: int = BATCH, size: tuple[int, int] = SQUARE) -> tuple[Tensor, Tensor]:
    """x (B, 3, H, W) float32 in [0, 1], image i of colour i, and y = 0, 1, ...: at most four."""
    colours = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[:batch]
    x = colours[:, :, None, None].expand(-1, -1, *size).contiguous()
    return x, torch.arange(batch)


def decoded(mixed: Tensor) -> Tensor:
    """(..., 4, H, W) float32 weights of the four images in pixels (..., 3, H, W) in [0, 1]; they sum to 1."""
    others = mixed.float()
    return torch.cat([1 - others.sum(dim=-3, keepdim=True), others], dim=-3)


@dataclass(frozen=True)
class Seen:
    """What n calls did to a batch of B coded images, K classes; NumPy, float32.

    labels (n, B, K); shares (n, B, 4): of the pixels, image by image.
    blends (n, B) bool: one weight for all pixels. boxes (n, B) bool: the partner's pixels fill a box, and are
    wholly its own. edges (n, B, 4) int: top, bottom, left, right of all that is not the sample's own.
    """

    labels: np.ndarray
    shares: np.ndarray
    blends: np.ndarray
    boxes: np.ndarray
    edges: np.ndarray
    size: tuple[int, int]

    @property
    def calls(self) -> int:
        """n."""
        return len(self.labels)

    @property
    def own(self) -> np.ndarray:
        """(n, B) label weight of the sample itself."""
        return np.diagonal(self.labels, axis1=1, axis2=2)

    @property
    def mixed(self) -> np.ndarray:
        """(n, B) bool: where another image is to be seen in the pixels."""
        batch = self.shares.shape[1]
        return np.diagonal(self.shares[:, :, :batch], axis1=1, axis2=2) < 1 - SEEN

    @property
    def partners(self) -> np.ndarray:
        """(n, B) int: which other image is seen most; -1 where none is."""
        others = self.shares.copy()
        rows = np.arange(others.shape[1])
        others[:, rows, rows] = -np.inf
        return np.where(self.mixed, others.argmax(axis=2), -1)

    @property
    def several(self) -> bool:
        """Whether there ever is more than one partner."""
        others = (self.shares > SEEN).sum(axis=2) - (np.diagonal(self.shares, axis1=1, axis2=2) > SEEN)
        return bool((others > 1).any())


def observe(mixer: Mixer, calls: int, batch: int = BATCH, size: tuple[int, int] = SQUARE) -> Seen:
    """What `calls` calls do; every call gets a batch of its own, as a mixer may overwrite it."""
    parts = [_looked_at(*part) for part in _called(mixer, calls, batch, size)]
    labels, shares, blends, boxes, edges = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    return Seen(labels, shares, blends, boxes, edges, size)


def _called(mixer: Mixer, calls: int, batch: int, size: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = coded_batch(batch, size)
    while calls > 0:
        pairs = [mixer(x.clone(), y.clone()) for _ in range(min(calls, CHUNK))]
        yield torch.stack([mixed for mixed, _ in pairs]), torch.stack([labels for _, labels in pairs])
        calls -= len(pairs)


def _looked_at(mixed: Tensor, labels: Tensor) -> tuple[np.ndarray, ...]:
    weights = decoded(mixed.detach())
    rows = torch.arange(mixed.shape[1])
    partner = 1 - weights[:, rows, rows]  # (n, B, H, W)
    flat = partner.flatten(2)
    blends = flat.amax(2) - flat.amin(2) < SEEN
    full, some = (partner - 1).abs() < SEEN, partner.abs() > SEEN
    down, across = some.any(3), some.any(2)
    top, bottom = _ends(down)
    left, right = _ends(across)
    filled = full.flatten(2).sum(2) == (bottom - top) * (right - left)
    boxes = filled & (full == some).flatten(2).all(2) & some.flatten(2).any(2)
    edges = torch.stack([top, bottom, left, right], dim=2)
    found = (labels.float(), weights.double().mean(dim=(3, 4)), blends, boxes, edges)
    return tuple(each.numpy() for each in found)


def _ends(line: Tensor) -> tuple[Tensor, Tensor]:
    """Where (..., L) bool begins and ends to be true, half-open; both 0 where it never is."""
    place = torch.arange(line.shape[-1])
    last = torch.where(line, place + 1, 0).amax(-1)
    first = torch.where(line, place, line.shape[-1]).amin(-1)
    return torch.minimum(first, last), last
