"""Colour jitter and lighting noise of a batch, as one linear map of the colours of each image.

Brightness, contrast and saturation multiply what an image has over black, over its mean grey and over its own
grey, by one factor each, in a random order; lighting adds a random colour along the principal components of
ImageNet's (AlexNet; Krizhevsky et al., 2012). So it is written in eladhoffer/convNet.pytorch preprocess.py,
which clovaai/CutMix-PyTorch uses (utils.py): on pixels in [0, 1] that may leave that range, as floats. Given
the mean colour of an image every one of these is linear in its colours, so they are composed to a 3x3 matrix
and an offset before any pixel is touched.
"""

import math

import numpy as np
import torch
from torch import Tensor

from msda_train.core.randomness import Rng

GREY = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601, as Pillow converts
SPREAD = (0.2175, 0.0188, 0.0045)  # eigenvalues of ImageNet's colours, and below the eigenvectors in columns
TOGETHER = 8  # pixels that one row of a matrix product takes: three times as fast as one by one, on a CPU
AXES = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def draw_colours(rng: Rng, batch: int, jitter: float, lighting: float) -> np.ndarray:
    """(batch, 9) float64: factors of brightness, contrast and saturation in 1 -+ jitter, their places in the
    order (three different numbers), and a colour to add."""
    factors = 1 - rng.uniform(-jitter, jitter, (batch, 3))
    places = rng.random((batch, 3)).argsort(axis=1)
    colour = (rng.normal(0.0, 1.0, (batch, 3)) * lighting * np.array(SPREAD)) @ np.array(AXES).T
    return np.concatenate([factors, places, colour], axis=1)


def colour_maps(drawn: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Of `draw_colours` (B, 9) and mean colours (B, 3) of images in [0, 1]: matrices (B, 3, 3) and offsets
    (B, 3), float32. A colour c becomes matrix @ c + offset."""
    drawn, mean = drawn.float(), mean.float()
    matrix = torch.eye(3, device=mean.device).expand(len(mean), 3, 3)
    offset = torch.zeros_like(mean)
    for place in range(3):
        here = (drawn[:, 3:6] == place).float()  # which of the three comes now, for each image
        factor = (here * drawn[:, :3]).sum(dim=1)
        own_grey = _grey(matrix), _grey(offset)  # as a map of the image's colours
        mean_grey = ((own_grey[0] * mean).sum(dim=1) + own_grey[1])[:, None]
        rest = (1 - factor)[:, None]
        matrix = factor[:, None, None] * matrix + (here[:, 2:] * rest)[:, :, None] * own_grey[0][:, None]
        offset = factor[:, None] * offset + rest * (
            here[:, 1:2] * mean_grey + here[:, 2:] * own_grey[1][:, None]
        )
    return matrix, offset + drawn[:, 6:]


def _grey(colours: Tensor) -> Tensor:
    """(B, 3, ...) to (B, ...)."""
    return GREY[0] * colours[:, 0] + GREY[1] * colours[:, 1] + GREY[2] * colours[:, 2]


def recoloured(pixels: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Colours (B, N, 3), float32, each as matrix (B, 3, 3) @ colour + offset (B, 3)."""
    batch, count, _ = pixels.shape
    side = math.gcd(count, TOGETHER)
    same = torch.eye(side, device=pixels.device)
    wide = torch.einsum("ij,bkl->bikjl", same, matrix.transpose(1, 2)).reshape(batch, 3 * side, 3 * side)
    made = torch.baddbmm(offset.repeat(1, side)[:, None], pixels.reshape(batch, -1, 3 * side), wide)
    return made.view(batch, count, 3)
