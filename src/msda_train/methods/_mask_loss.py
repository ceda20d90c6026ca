"""What AutoMix and SAMix ask of a mask besides a good mix: a mean near lam, and contrast."""

from torch import Tensor

EPSILON = 1e-8


def mask_loss(mask: Tensor, lam: float, margin: float, variance: float) -> Tensor:
    """max(|mean - lam| - margin, 0) - variance * mean((mask - mean)^2), 0-d, of masks (B, 1, H, W) and their
    mean over the batch: mask_loss of openmixup's heads/pmix_block.py, L1 where variance is 0, L1+Variance
    where it is 2. The paper's (AutoMix, arXiv:2103.13027) has each mask's own mean."""
    mean = mask.mean()
    return ((mean - lam).abs() - margin).clamp(min=0) - variance * (mask - mean).square().mean()


def adjusted(mask: Tensor, lam: float) -> Tensor:
    """Masks (B, 1, H, W) of mean lam each: larger ones are multiplied, of smaller ones the partner's share is
    (mask_adjust of openmixup's classifiers/automix.py)."""
    mask = mask.clamp(EPSILON, 1 - EPSILON)
    mean = mask.mean(dim=(1, 2, 3), keepdim=True)
    return (mask * (lam / mean)).where(mean > lam, 1 - (1 - mask) * ((1 - lam) / (1 - mean)))
