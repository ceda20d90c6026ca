"""Boxes and blobs as masks. 1 keeps the sample's own pixel, 0 takes the partner's."""

import numpy as np
import torch
from torch import Tensor


def centred_box(
    lam: np.ndarray, centre: np.ndarray, height: int, width: int, ratio: float = 1.0
) -> np.ndarray:
    """Edges (n, 4) int64 of boxes (top, bottom, left, right; half-open) covering about (1 - lam) * ratio.

    lam (n,); centre (n, 2) integer (row, column). clovaai/CutMix-PyTorch `rand_bbox`, naver-ai/hmix-gmix: the
    side is truncated, half of it (truncated again) lies on both sides of the centre, and the image clips the
    rest. So an odd side loses a pixel and a side of 1 is no box.
    """
    factor = np.sqrt(1 - lam) * np.sqrt(ratio)
    edges = []
    for side, c in ((height, centre[:, 0]), (width, centre[:, 1])):
        half = (side * factor).astype(np.int64) // 2
        edges += [np.clip(c - half, 0, side), np.clip(c + half, 0, side)]
    return np.stack(edges, axis=1)


def continuous_box(lam: np.ndarray, centre: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same with a real-valued centre and rounded corners: CutMix's appendix (arXiv:1905.04899)."""
    edges = []
    for side, c in ((height, centre[:, 0]), (width, centre[:, 1])):
        half = side * np.sqrt(1 - lam) / 2
        edges += [np.clip(np.rint(c - half), 0, side), np.clip(np.rint(c + half), 0, side)]
    return np.stack(edges, axis=1).astype(np.int64)


def draw_centre(rng: np.random.Generator, n: int, height: int, width: int) -> np.ndarray:
    """(n, 2) uniform integer pixels (row, column)."""
    return np.stack([rng.integers(0, height, n), rng.integers(0, width, n)], axis=1)


def kept_share(edges: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n,) share of the image that lies outside each box: CutMix's re-adjusted lam."""
    top, bottom, left, right = edges.T
    return 1 - (bottom - top) * (right - left) / (height * width)


def box_mask(edges: np.ndarray | Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """(n, 1, height, width) float32, 0 inside each box of `edges` (n, 4), 1 outside.

    By comparing coordinate grids with the edges, never by slicing: one box per sample costs no more, and
    edges that are found on the device stay there.
    """
    edges = torch.as_tensor(edges).to(device, non_blocking=True)
    top, bottom, left, right = (e[:, None, None, None] for e in edges.unbind(1))
    row = torch.arange(height, device=device)[None, None, :, None]
    column = torch.arange(width, device=device)[None, None, None, :]
    inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
    return 1 - inside.float()


def blob_mask(share: np.ndarray, centre: np.ndarray, height: int, width: int, device: torch.device) -> Tensor:
    """(n, 1, height, width) float32 Gaussian bumps exp(-pi d^2 / (share * H * W)), d in pixels from `centre`.

    Its mean over an infinite plane is `share`; what the border cuts off is lost. A share of 0 gives no bump.
    arXiv:2208.09913 and naver-ai/hmix-gmix, which writes H^2 for square images.
    """
    share_, centre_ = (
        torch.as_tensor(a, dtype=torch.float32).to(device, non_blocking=True) for a in (share, centre)
    )
    row = torch.arange(height, device=device)[None, :, None] - centre_[:, 0, None, None]
    column = torch.arange(width, device=device)[None, None, :] - centre_[:, 1, None, None]
    area = (share_ * (height * width))[:, None, None].clamp(min=torch.finfo(torch.float32).tiny)
    blob = torch.exp(-torch.pi * (row**2 + column**2) / area)
    return (blob * (share_ > 0)[:, None, None])[:, None]
