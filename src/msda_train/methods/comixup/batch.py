"""Co-Mixup for one batch: saliency in, block grids out; and what grids mean in pixels and labels.

snu-mllab/Co-Mixup main.py, mixup.py, match.py, which we follow: consecutive parts of `partition` samples, a
smaller last one where it does not divide the batch; cost of a block = minus the image's share of saliency
in it, minus eta/blocks^2 * log of the image's weight, Dirichlet(alpha), drawn once per part, as is the
random start; A = (1 - omega) I + omega D, D the L1 distances of the saliency peaks (8 x 8 means at stride
1), scaled to sum to the part's size. Where they divide by zero we do not: an image without saliency counts
as evenly salient, a part whose peaks coincide (or with one image) has D = 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng
from msda_train.methods.comixup.grid import WIDEST
from msda_train.methods.comixup.solver import Objective, image_counts, solve

PEAK_WINDOW = 8  # pixels


@dataclass(frozen=True)
class Settings:
    """The authors' main.py options with their defaults; `threshold` is m_thres, `passes` m_niter."""

    alpha: float = 2.0
    beta: float = 0.32
    gamma: float = 1.0
    threshold: float = 0.83
    eta: float = 0.05
    omega: float = 0.001
    blocks: int = 4
    partition: int = 20
    passes: int = 4
    resolve: bool = True
    halves: bool = True

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        for name in ("beta", "gamma", "threshold", "eta"):
            checks.non_negative(f"method.{name}", getattr(self, name))
        checks.fraction("method.omega", self.omega)
        for name in ("blocks", "partition", "passes"):
            checks.whole(f"method.{name}", getattr(self, name), least=1)
        for name in ("resolve", "halves"):
            checks.flag(f"method.{name}", getattr(self, name))
        if self.blocks > WIDEST:
            raise UserError(f"method.blocks={self.blocks}: at most {WIDEST}, the work doubles with each")


def choose_grids(settings: Settings, saliency: Tensor, rng: Rng) -> np.ndarray:
    """(B, h, w, 2) integers, the two samples of the batch that each block of each output shows.

    saliency: (B, H, W), any scale. Raises UserError where the blocks do not divide the image. Waits for the
    device once.
    """
    side = settings.blocks
    facts = torch.cat([block_cost(saliency, side).flatten(1), saliency_peaks(saliency)], dim=1)
    cost, peaks = np.split(facts.cpu().numpy().astype(float), [side**2], axis=1)
    whole = len(cost) // settings.partition * settings.partition
    grids = np.empty((len(cost), side, side, 2), dtype=np.int64)
    for first, stop, size in ((0, whole, settings.partition), (whole, len(cost), len(cost) - whole)):
        if first == stop:
            continue
        parts = (stop - first) // size
        weights = rng.dirichlet(np.full(size, settings.alpha), parts)
        start = rng.integers(0, size, (parts, size, side, side))
        prior = -settings.eta / side**2 * np.log(weights + 1e-8)
        objective = Objective(
            cost[first:stop].reshape(parts, size, side, side) + prior[:, :, None, None],
            alikeness(peaks[first:stop].reshape(parts, size, 2), settings.omega),
            settings.beta,
            settings.gamma,
            settings.threshold,
        )
        found = solve(
            objective, start, passes=settings.passes, resolve=settings.resolve, halves=settings.halves
        )
        found += first + size * np.arange(parts)[:, None, None, None, None]
        grids[first:stop] = found.reshape(-1, side, side, 2)
    return grids


def block_cost(saliency: Tensor, blocks: int) -> Tensor:
    """(B, blocks, blocks) minus the share of each image's saliency (B, H, W) in each block; sums to -1."""
    height, width = saliency.shape[1:]
    if height % blocks or width % blocks:
        raise UserError(f"method.blocks={blocks}: must divide the image, {height} x {width} pixels")
    pooled = F.avg_pool2d(saliency[:, None], (height // blocks, width // blocks))[:, 0]
    total = pooled.sum(dim=(1, 2), keepdim=True)
    return -torch.where(total > 0, pooled / total, 1 / blocks**2)


def saliency_peaks(saliency: Tensor) -> Tensor:
    """(B, 2) float32 row and column of the window with the most saliency (B, H, W), the first of equals."""
    window = [min(PEAK_WINDOW, side) for side in saliency.shape[1:]]
    smooth = F.avg_pool2d(saliency[:, None], window, stride=1)[:, 0]
    place = smooth.flatten(1).argmax(dim=1)
    return torch.stack([place // smooth.shape[2], place % smooth.shape[2]], dim=1).float()


def alikeness(peaks: np.ndarray, omega: float) -> np.ndarray:
    """(P, n, n) matrix A of parts with peaks (P, n, 2)."""
    n = peaks.shape[1]
    distance = np.abs(peaks[:, :, None] - peaks[:, None]).sum(axis=-1)
    total = distance.sum(axis=(1, 2), keepdims=True)
    mixed: np.ndarray = (1 - omega) * np.eye(n) + omega * n * distance / np.where(total > 0, total, 1.0)
    return mixed


def collage(x: Tensor, grids: Tensor) -> Tensor:
    """(B, C, H, W) images: each block the mean of two images of x (B, C, H, W); a copy where both are one."""
    rows, columns = (x.shape[2] // grids.shape[1], x.shape[3] // grids.shape[2])
    shown = grids.repeat_interleave(rows, dim=1).repeat_interleave(columns, dim=2)  # (B, H, W, 2)
    row = torch.arange(x.shape[2], device=x.device)[:, None]
    column = torch.arange(x.shape[3], device=x.device)
    one, two = (x[shown[..., side], :, row, column].movedim(-1, 1) for side in (0, 1))
    return (one + two) / 2


def label_shares(grids: np.ndarray) -> np.ndarray:
    """(B, B) float32 share of the blocks of output i that show sample j, from grids (B, h, w, 2)."""
    blocks = grids.shape[1] * grids.shape[2]
    share: np.ndarray = (image_counts(grids, len(grids)) / blocks).astype(np.float32)
    return share
