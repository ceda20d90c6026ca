"""Saliency as the gradient of the loss with respect to the image, and what else Puzzle Mix makes of it.

Kim, Choo & Song, ICML 2020, arXiv:2009.06962; code: snu-mllab/PuzzleMix main.py and imagenet/train.py.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.randomness import Rng
from msda_train.core.recording import replayed


@torch.enable_grad()
def input_gradient(
    x: Tensor, y: Tensor, model: nn.Module, *, clean_lam: float = 0.0, clean_scale: str = "bce"
) -> Tensor:
    """Gradient (B, C, H, W) of the cross-entropy of labels y (B,) with respect to images x; only its size
    relative to others of the same image has a meaning.

    clean_lam = 0: in evaluation mode, so that BatchNorm's statistics stay, and with respect to the images
    only: about 5/3 of a step instead of 2. clean_lam > 0: in training mode, and the same pass trains on the
    clean batch: the parameters' .grad receive the gradient of clean_lam * 2/K * cross-entropy (`bce`, K
    classes: main.py, whose main loss is a mean over classes) or of clean_lam * cross-entropy (`ce`:
    imagenet/train.py). The mode of `model` is as before.
    """

    def work(x: Tensor, y: Tensor) -> Tensor:
        images = x.detach().requires_grad_()
        logits = model(images).float()
        # The sum, not the mean: a share of an image's saliency knows no scale, but float32 has a smallest.
        loss = F.cross_entropy(logits, y, reduction="sum")
        if clean_lam == 0:
            return torch.autograd.grad(loss, images)[0]
        weight = clean_lam * (2 / logits.shape[1] if clean_scale == "bce" else 1.0) / len(y)
        (weight * loss).backward()
        assert images.grad is not None
        return images.grad

    was_training = model.training
    model.train(clean_lam > 0)
    try:
        gradient: Tensor = replayed(model, (clean_lam, clean_scale), work, x, y)
        return gradient
    finally:
        model.train(was_training)


def channel_norm(gradient: Tensor) -> Tensor:
    """(B, H, W) root mean square over channels of (B, C, H, W), up to a factor: sqrt(C)."""
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return norm


def noisy_pair(
    x: Tensor,
    gradient_at: Callable[[Tensor], Tensor],
    attacked: np.ndarray,
    eps: float,
    mean: Tensor,
    std: Tensor,
    rng: Rng,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient, and the images as first and as second partner, attacked (2,) bool says which, with noise.

    main.py: noise starts uniform in +-eps of pixel values; from the gradient there (which then is the
    saliency's, too) it goes eps + 2/255 along the sign, is cut to +-eps and shrunk by one U(0, 1) for the
    batch. x (B, C, H, W) normalised by mean, std (1, C, 1, 1); noisy pixels stay in [0, 1].
    """
    if not attacked.any():
        return gradient_at(x), x, x
    draw = torch.from_numpy(rng.random(tuple(x.shape), dtype=np.float32)).to(x.device, non_blocking=True)
    pixels = x * std + mean
    start = (pixels + (2 * draw - 1) * eps).clamp(0, 1)
    gradient = gradient_at((start - mean) / std)
    noise = (start - pixels + (eps + 2 / 255) * gradient.sign()).clamp(-eps, eps) * rng.random()
    noisy = ((pixels + noise).clamp(0, 1) - mean) / std
    return gradient, noisy if attacked[0] else x, noisy if attacked[1] else x
