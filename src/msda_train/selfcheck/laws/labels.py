"""Laws of labels and pixels: both are weighted means, with the same weights."""

import numpy as np
import torch

from msda_train.selfcheck.laws.coded import Seen
from msda_train.selfcheck.laws.subject import Outcome, Subject, differs, failed, passed

EXACT = 1e-4  # float32 sums over thousands of pixels


def sum_to_one(subject: Subject, seen: Seen) -> Outcome:
    """Label weights are at least 0 and sum to 1."""
    off = float(np.abs(seen.labels.sum(axis=2) - 1).max())
    least = float(seen.labels.min())
    if not np.isfinite(seen.labels).all():
        return failed("labels are not finite")
    if off > EXACT or least < -EXACT:
        return failed(f"sums are off by up to {off:.3g}, the least weight is {least:.3g}")
    return passed(f"{seen.labels.shape[0] * seen.labels.shape[1]:,} labels, off by {off:.1g} at most")


def equal_share(subject: Subject, seen: Seen) -> Outcome:
    """The weight of each image in the label is its share of the pixels."""
    return share_outcome(seen)


def share_outcome(seen: Seen) -> Outcome:
    """How labels and shares of pixels agree in `seen`."""
    images = seen.shares.shape[1]
    off = float(np.abs(seen.labels[:, :, :images] - seen.shares[:, :, :images]).max())
    elsewhere = float(seen.labels[:, :, images:].max(initial=0))
    pixel = 1 / (seen.size[0] * seen.size[1])
    if not np.isfinite(off):
        return failed("labels or pixels are not finite")
    if elsewhere > EXACT:
        smoothed = f"classes that no pixel shows weigh {elsewhere:.3g} each"
        return differs("smoothed", smoothed) if off < 0.2 else failed(smoothed)
    if off <= EXACT:
        return passed(f"off by {off:.1g} at most in {seen.calls:,} batches")
    if off <= 1.01 * pixel:
        return differs("by a pixel", f"off by up to {off:.2g}: one pixel of {round(1 / pixel):,}")
    mean = float(np.abs(seen.labels[:, :, :images] - seen.shares[:, :, :images]).max(axis=(1, 2)).mean())
    return failed(f"off by up to {off:.2f}, by {mean:.2f} on average")


def whole_pixels(subject: Subject, seen: Seen) -> Outcome:
    """The weights of pixels sum to 1: a batch of equal images comes back as it was."""
    mixer, worst = subject.made(), 0.0
    for _ in range(50 if subject.draws >= 100 else 5):
        x = torch.full((4, 3, 32, 32), 0.7)
        worst = max(worst, float((mixer(x.clone(), torch.arange(4))[0] - x).abs().max()))
    return (passed if worst < EXACT else failed)(f"pixels of 0.7 are off by {worst:.1g} at most")


def inside_range(subject: Subject, seen: Seen) -> Outcome:
    """Mixed values lie between the least and the greatest of the batch, channel by channel."""
    mixer, worst = subject.made(), 0.0
    draw = torch.Generator().manual_seed(0)
    for _ in range(50 if subject.draws >= 100 else 5):
        x = torch.randn(4, 3, 32, 32, generator=draw)
        mixed = mixer(x.clone(), torch.arange(4))[0]
        low, high = x.amin(dim=(0, 2, 3)).view(3, 1, 1), x.amax(dim=(0, 2, 3)).view(3, 1, 1)
        beyond = torch.maximum(low - mixed, mixed - high).max()
        worst = max(worst, float(beyond)) if torch.isfinite(mixed).all() else float("inf")
    if worst > EXACT:
        return failed(f"normalised images leave their range by {worst:.2g}")
    return passed("normalised images, from about -4 to 4, stay in their range")
