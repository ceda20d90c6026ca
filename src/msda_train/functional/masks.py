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
    side = (np.sqrt(1 - lam) * np.sqrt(ratio))[:, None] * (height, width)
    return _around(centre, side.astype(np.int64) // 2, height, width)


def _around(centre: np.ndarray, half: np.ndarray | int, height: int, width: int) -> np.ndarray:
    """Edges (n, 4) of boxes from `half` (n, 2) before each centre (n, 2), a point of the image, to `half`
    behind it, clipped by the border."""
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half, (height, width))
    edges = np.empty((len(centre), 4), dtype=low.dtype)
    edges[:, 0::2], edges[:, 1::2] = low, high
    return edges


def continuous_box(lam: np.ndarray, centre: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same with a real-valued centre and rounded corners: CutMix's appendix (arXiv:1905.04899)."""
    half = np.sqrt(1 - lam)[:, None] * (height, width) / 2
    made: np.ndarray = np.rint(_around(centre, half, height, width)).astype(np.int64)
    return made


def draw_centre(rng: np.random.Generator, n: int, height: int, width: int) -> np.ndarray:
    """(n, 2) uniform integer pixels (row, column)."""
    if n == 1:  # the same draws in a third of the time
        return np.array([[rng.integers(0, height), rng.integers(0, width)]])
    centre = np.empty((n, 2), dtype=np.int64)
    centre[:, 0], centre[:, 1] = rng.integers(0, height, n), rng.integers(0, width, n)
    return centre


def hole_mask(length: int, centre: np.ndarray, height: int, width: int, device: torch.device) -> Tensor:
    """(n, 1, height, width) float32, 0 in a square hole of `length` pixels a side around each centre (n, 2),
    clipped by the border: Cutout (arXiv:1708.04552), whose half side is truncated."""
    return box_mask(_around(centre, length // 2, height, width), height, width, device)


def kept_share(edges: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n,) share of the image that lies outside each box: CutMix's re-adjusted lam."""
    top, bottom, left, right = edges.T
    made: np.ndarray = 1 - (bottom - top) * (right - left) / (height * width)
    return made


def box_mask(edges: np.ndarray | Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """(n, 1, height, width) float32, 0 inside each box of `edges` (n, 4), 1 outside.

    Edges from the host become a mask there, one upload instead of a dozen kernels; edges that were found on
    the device stay there, and coordinate grids are compared with them: nobody waits for their values.
    """
    if isinstance(edges, np.ndarray):
        mask = np.ones((len(edges), 1, height, width), dtype=np.float32)
        for one, (top, bottom, left, right) in zip(mask[:, 0], edges.tolist(), strict=True):
            one[top:bottom, left:right] = 0
        return torch.from_numpy(mask).to(device, non_blocking=True)
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
    # On the host: there, a dozen operations on a few numbers cost less than as many kernels.
    rate = -np.pi / np.maximum(share * (height * width), np.finfo(np.float32).tiny)[:, None]
    down = np.exp(rate * np.square(np.arange(height) - centre[:, :1])) * (share > 0)[:, None]
    across = np.exp(rate * np.square(np.arange(width) - centre[:, 1:]))
    blob = down.astype(np.float32)[:, None, :, None] * across.astype(np.float32)[:, None, None, :]
    return torch.from_numpy(blob).to(device, non_blocking=True)


def shrunk_box(scale: np.ndarray, centre: np.ndarray, height: int, width: int, border: str) -> np.ndarray:
    """Edges (n, 4) int64, as `centred_box`, of boxes with `scale` (n,) of each side, truncated, at least 1.

    border=shift moves a box that sticks out back inside, whole (JayQine/ResizeMix tools/utils.py
    `getbox_new`); border=clip cuts it off, after halving as CutMix does (openmixup resizemix.py).
    """
    extent = np.maximum((scale[:, None] * (height, width)).astype(np.int64), 1)
    if border == "clip":
        return _around(centre, extent // 2, height, width)
    first = np.minimum(np.maximum(centre - extent // 2, 0), (height, width) - extent)
    return np.stack([first, first + extent], axis=2).reshape(-1, 4)


def nearest_index(first: np.ndarray, step: np.ndarray, side: int) -> np.ndarray:
    """(n, side) int64: the source pixel of each pixel, for boxes that begin at `first` (n,), with `step` (n,)
    source pixels per pixel. Means nothing outside the box.

    In float32, as torch's nearest interpolation computes it: the same pixels, bit for bit.
    """
    away = (np.arange(side) - first[:, None]).astype(np.float32)
    source: np.ndarray = np.floor(away * step.astype(np.float32)[:, None]).clip(0, side - 1).astype(np.int64)
    return source


def hole_line(size: int, start: int, extent: int, pitch: int, hole: int, overhang: str) -> np.ndarray:
    """(size,) bool: the pixels of a line that lie in a hole; holes of length `hole` begin every `pitch`
    pixels of the stretch [start, start + extent), which may hang over both ends.

    overhang=clip drops what hangs over. overhang=wrap is what slices with negative indices do in openmixup's
    gridmix.py: a hole wholly before the line lands at its far end, one that straddles its beginning is lost.
    """
    line = np.zeros(size, dtype=bool)
    for corner in range(0, extent, pitch):
        first, last = start + corner, start + min(corner + hole, extent)
        if overhang == "clip":
            first, last = max(first, 0), max(last, 0)
        line[first:last] = True
    return line


def low_frequency_images(
    rng: np.random.Generator, n: int, height: int, width: int, decay: float, spectrum: str
) -> np.ndarray:
    """(n, height, width) float64 random images whose amplitude at frequency f falls as 1 / f^decay.

    f in cycles per pixel, at least 1 / max(height, width). spectrum=paper: independent complex Gaussians at
    all frequencies, real part of the inverse transform (arXiv:2002.12047). spectrum=code: what
    `make_low_freq_image` of ecs-vlc/FMix fmix.py computes, which takes the first two *rows* of its noise for
    real and imaginary part and the noise's last axis for a frequency: the scale of horizontal frequencies is
    laid along the vertical, and sideways there are frequencies 0 and 1 only.
    """
    floor = 1 / max(height, width)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    if spectrum == "paper":
        scale = np.maximum(np.hypot(down, across), floor) ** -decay
        noise = rng.standard_normal((2, n, height, width)) * scale
        return np.fft.ifft2(noise[0] + 1j * noise[1]).real
    across = across[: width // 2 + 1 + width % 2]  # one more than a real transform has where the width is odd
    scale = np.maximum(np.hypot(down[:2], across), floor) ** -decay
    noise = rng.standard_normal((n, 2, len(across), 2)) * scale[:, :, None]
    return np.fft.irfft2(noise[:, 0] + 1j * noise[:, 1], s=(height, width), axes=(-2, -1))


def top_share(images: np.ndarray, count: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """(n, H, W) float64 masks: 1 at the `count` (n,) highest pixels of each image (n, H, W), else 0.

    soft (n,): the weight falls linearly from 1 to 0 over the ranks count - soft to count + soft; the sum is
    still `count` (ecs-vlc/FMix fmix.py `binarise_mask`).
    """
    flat = images.reshape(len(images), -1)
    rank = np.arange(flat.shape[1])
    count, soft = count[:, None], soft[:, None]
    ramp = np.clip((count + soft - 1 - rank) / np.maximum(2 * soft - 1, 1), 0, 1)
    mask = np.empty_like(flat)
    np.put_along_axis(mask, np.argsort(-flat, axis=1), np.where(soft > 0, ramp, rank < count), axis=1)
    return mask.reshape(images.shape)


ASPECTS = (0.3, 1 / 0.3)  # height over width of a block
TRIES = 10  # for a block that fits


def block_mask(rng: np.random.Generator, rows: int, columns: int, count: int) -> np.ndarray:
    """(rows, columns) float32: 0 in blocks of about `count` cells together, 1 elsewhere. BEiT's block-wise
    masking (arXiv:2106.08254, algorithm 1), as TokenMix's code has it: area uniform between 1 and what is
    missing, aspect log-uniform; a block counts if it brings something new and not too much; after TRIES
    without one, it stays at fewer."""
    mask, missing = np.ones((rows, columns), dtype=np.float32), count
    while missing:
        for _ in range(TRIES):
            area, aspect = rng.uniform(1, missing), np.exp(rng.uniform(*np.log(ASPECTS)))
            high, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if high < rows and wide < columns:
                top, left = rng.integers(0, rows - high + 1), rng.integers(0, columns - wide + 1)
                block = mask[top : top + high, left : left + wide]
                fresh = int(block.sum())
                if 0 < fresh <= missing:
                    block[:], missing = 0, missing - fresh
                    break
        else:
            break
    return mask


def scattered_mask(rng: np.random.Generator, rows: int, columns: int, count: int) -> np.ndarray:
    """The same with `count` single cells, anywhere."""
    mask = np.ones(rows * columns, dtype=np.float32)
    mask[rng.permutation(rows * columns)[:count]] = 0
    return mask.reshape(rows, columns)
