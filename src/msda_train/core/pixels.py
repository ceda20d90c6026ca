"""A batch mixed with a permutation of itself, quickly: the result is bit for bit what
torch.lerp(h[perm], h[:len(perm)], mask) gives in float32, or in float64 for such.

torch.lerp computes from the nearer end: where the mask is 0 or 1 the values are bit for bit the originals. It
runs in the mask's float32, so lam is not rounded where features are bfloat16; whole numbers are rounded to
the nearest.
"""

import numpy as np
import torch
from torch import Tensor

Box = tuple[int, int, int, int]  # top, bottom, left, right; half-open
LONG = 1 << 16  # bytes of an image from which on a call for each costs less than gathering all partners
HUGE = 1 << 22  # bytes from which on NumPy asks for large pages: memory is ready in a third the time


def blend(h: Tensor, perm: Tensor, mask: Tensor, owned: bool = False) -> Tensor:
    """mask * h + (1 - mask) * h[perm], of the type of `h`: h (N, ...), perm (B,) with B at most N, mask
    (B|1, 1, H|1, W|1). owned: h may be overwritten."""
    # Compiling makes one loop of it anyway.
    quick = h.dtype == torch.float32 and not torch.compiler.is_compiling()
    rows = _rows(h) if quick else None
    if rows is None:
        return blend_two(h[: len(perm)], h[perm], mask)
    count, weight = perm.shape[0], _weight(h, mask)
    own = rows if count == h.shape[0] else rows[:count]
    if isinstance(weight, float) and 4 * rows.shape[1] >= LONG and not _has_gradient(h):
        partner = perm.tolist()
        in_place = owned and sorted(partner) == list(range(len(h)))
        mixed = _in_place(rows, partner, weight) if in_place else _one_by_one(rows, partner, weight)
    else:
        mixed = rows.index_select(0, perm).lerp_(own, weight)
    return _unfold(mixed, h)


def blend_two(own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """mask * own + (1 - mask) * other, of own's type and shape (B, ...); mask as above. What may have any
    shape and type is computed as it is written."""
    mask = mask if own.ndim == 4 else mask.view(-1, *[1] * (own.ndim - 1))
    wide = torch.promote_types(own.dtype, torch.float32)
    mixed = torch.lerp(other.to(wide), own.to(wide), mask.to(wide))
    return mixed.to(own.dtype) if own.is_floating_point() else mixed.round_().to(own.dtype)


def paste(h: Tensor, perm: Tensor, box: Box, owned: bool = False) -> Tensor:
    """h (N, C, H, W) with the same box of h[perm] in each image; perm (B,). owned: h may be overwritten."""
    count, learning = perm.shape[0], _has_gradient(h)
    inside = _region(h, box)
    if owned and count == h.shape[0] and not learning and _rows(h) is not None:
        inside.copy_(inside.index_select(0, perm))
        return h
    if learning or h.numel() * h.element_size() < HUGE:
        mixed = h[:count].clone()
    else:
        mixed = _room(h, count).copy_(h[:count])
    if learning or not h.is_cpu:
        _region(mixed, box).copy_(inside.index_select(0, perm))
    else:  # straight to its place: a fifth less time
        torch.index_select(inside, 0, perm, out=_region(mixed, box))
    return mixed


def _region(h: Tensor, box: Box) -> Tensor:
    """The box in each of (N, C, H, W), with channels where they lie in memory."""
    top, bottom, left, right = box
    if not h.is_contiguous() and h.is_contiguous(memory_format=torch.channels_last):
        return h.permute(0, 2, 3, 1)[:, top:bottom, left:right]
    return h[:, :, top:bottom, left:right]


def _has_gradient(h: Tensor) -> bool:
    return h.requires_grad and torch.is_grad_enabled()


def _rows(h: Tensor) -> Tensor | None:
    """(N, -1), each example a row, the same memory; None where that is not possible, or there is no row."""
    if h.numel() == 0:
        return None
    if h.is_contiguous():
        return h.view(h.shape[0], -1)
    if h.ndim == 4 and h.is_contiguous(memory_format=torch.channels_last):
        return h.permute(0, 2, 3, 1).view(h.shape[0], -1)
    return None


def _unfold(rows: Tensor, h: Tensor) -> Tensor:
    """The inverse: rows (B, -1) in the shape and memory format of h (N, ...)."""
    if h.is_contiguous():
        return rows.view(-1, *h.shape[1:])
    _, channels, height, width = h.shape
    return rows.view(len(rows), height, width, channels).permute(0, 3, 1, 2)


def _weight(h: Tensor, mask: Tensor) -> Tensor | float:
    """What rows of h are multiplied by: one number where that is known here, else (B|1, 1 or all columns).
    The mask is written out over channels beforehand, three to eight times faster than broadcasting it."""
    if mask.numel() == 1 and mask.is_cpu:
        return mask.item()
    if mask[0].numel() == 1:
        return mask.view(-1, 1)
    wide = mask.expand(-1, *h.shape[1:])
    wide = wide if h.is_contiguous() else wide.permute(0, 2, 3, 1)
    return wide.reshape(len(mask), -1)


def _room(h: Tensor, count: int) -> Tensor:
    """Memory for so many examples like h's, on the host in large pages where it is large."""
    rows = _rows(h)
    if rows is None or h.device.type != "cpu" or h.dtype != torch.float32:
        return torch.empty_like(h[:count])
    return _unfold(torch.from_numpy(np.empty((count, rows.shape[1]), dtype=np.float32)), h)


def _one_by_one(rows: Tensor, partner: list[int], weight: float) -> Tensor:
    """Each mixed where its outcome will be, without the gathered partners on the way."""
    mixed = torch.from_numpy(np.empty((len(partner), rows.shape[1]), dtype=np.float32))
    every = rows.unbind()
    for own, other, out in zip(every, partner, mixed.unbind(), strict=False):
        torch.lerp(every[other], own, weight, out=out)
    return mixed


def _in_place(rows: Tensor, partner: list[int], weight: float) -> Tensor:
    """Along the cycles of the permutation: an image is overwritten after the one that needs it, and of each
    cycle the first is kept for the last."""
    every, first, left = rows.unbind(), torch.empty_like(rows[0]), set(range(len(rows)))
    while left:
        start = here = left.pop()
        first.copy_(every[start])
        while partner[here] != start:
            torch.lerp(every[partner[here]], every[here], weight, out=every[here])
            here = partner[here]
            left.remove(here)
        torch.lerp(first, every[here], weight, out=every[here])
    return rows
