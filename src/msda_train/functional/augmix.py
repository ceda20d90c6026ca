"""AugMix's augmentation of a batch, as Puzzle Mix's code cuts it (arXiv:1912.02781, without its JSD loss).

snu-mllab/PuzzleMix, the commits that still have augmentations.py (9094943 to 83ae7ff): of AugMix's operations
posterize, rotate, shear_x, shear_y, translate_x and translate_y are left (autocontrast, equalize and solarize
are commented out); three chains of one to three of them, weighed by Dirichlet(1, 1, 1), and the outcome mixed
with the image by one weight from Beta(1, 1) for the whole batch, where AugMix draws one for each image. On
8-bit pixels after flip and crop and before any mixing, as PIL does it: bilinear, truncated, black outside.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from msda_train.core.randomness import Rng

WIDTH = 3  # chains of an image
DEPTH = 3  # operations of a chain at most
OPERATIONS = ("posterize", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")


@dataclass(frozen=True)
class Draws:
    """matrix: (B, WIDTH, DEPTH, 2, 3) float64, the place (x, y, 1) of a pixel's centre to where it is taken
    from, pixels from the corner; bits: (B, WIDTH, DEPTH) int64, which of a pixel's eight are kept; weights:
    (B, WIDTH) float64, which sum to 1; share: of the chains in the outcome."""

    matrix: np.ndarray
    bits: np.ndarray
    weights: np.ndarray
    share: float


def draw(rng: Rng, batch: int, severity: float, height: int, width: int) -> Draws:
    """For a batch of images of this size; operations are drawn as strong as `severity` of 10 at most."""
    shape = batch, WIDTH, DEPTH
    weights = rng.dirichlet(np.ones(WIDTH), batch)
    depth = rng.integers(1, DEPTH + 1, (batch, WIDTH, 1))
    chosen = rng.integers(0, len(OPERATIONS), shape)
    level = rng.uniform(0.1, severity, shape)
    sign = np.where(rng.random(shape) > 0.5, -1.0, 1.0)
    chosen = np.where(np.arange(DEPTH) < depth, chosen, -1)  # chains end where theirs do
    matrix = np.zeros((*shape, 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = 1.0
    turned = chosen == OPERATIONS.index("rotate")
    matrix[turned] = rotation(sign[turned] * np.floor(level[turned] * 3), height, width)
    for name, place in (("shear_x", (0, 1)), ("shear_y", (1, 0))):
        here = chosen == OPERATIONS.index(name)
        matrix[(here, *place)] = (sign * level * 0.03)[here]
    for name, place, side in (("translate_x", (0, 2), width), ("translate_y", (1, 2), height)):
        here = chosen == OPERATIONS.index(name)
        matrix[(here, *place)] = (sign * np.floor(level * (side / 3) / 10))[here]
    left = 4 - np.floor(level * 0.4).astype(np.int64)
    bits = np.where(chosen == OPERATIONS.index("posterize"), 256 - 2 ** (8 - left), 255)
    return Draws(matrix, bits, weights, float(rng.beta(1.0, 1.0)))


def rotation(degrees: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, 2, 3) of angles (N,), anticlockwise about the image's centre."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = width / 2, height / 2
    rows = [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def mixed(pixels: Tensor, draws: Draws) -> Tensor:
    """Augmented images (B, C, H, W) float32 of `pixels`, whole numbers 0 to 255 in that form."""
    matrix = torch.from_numpy(draws.matrix.astype(np.float32)).to(pixels.device, non_blocking=True)
    bits = torch.from_numpy(draws.bits).to(pixels.device, non_blocking=True)
    weights = torch.from_numpy(draws.weights.astype(np.float32)).to(pixels.device, non_blocking=True)
    total = torch.zeros_like(pixels)
    for chain in range(WIDTH):
        x = pixels
        for step in range(DEPTH):
            x = warped(x, matrix[:, chain, step])
            x = (x.long() & bits[:, chain, step].view(-1, 1, 1, 1)).float()
        total += weights[:, chain].view(-1, 1, 1, 1) * x
    return torch.lerp(pixels, total, draws.share)


def warped(x: Tensor, matrix: Tensor) -> Tensor:
    """Images (B, C, H, W) of whole numbers, each pixel taken from where matrix (B, 2, 3) says, by PIL's rule:
    bilinear between centres, edges repeated within the image, 0 outside it, cut to a whole number."""
    batch, channels, height, width = x.shape
    rows, columns = (torch.arange(n, device=x.device, dtype=x.dtype) + 0.5 for n in (height, width))
    a, b = matrix[:, 0, :, None, None].unbind(1), matrix[:, 1, :, None, None].unbind(1)
    across = a[0] * columns + a[1] * rows[:, None] + a[2]  # (B, H, W)
    down = b[0] * columns + b[1] * rows[:, None] + b[2]
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    left, top = (across - 0.5).floor(), (down - 0.5).floor()
    right_share, low_share = (across - 0.5 - left)[:, None], (down - 0.5 - top)[:, None]
    flat = x.reshape(batch, channels, height * width)

    def at(row: Tensor, column: Tensor) -> Tensor:
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        chosen = place.long().view(batch, 1, -1).expand(-1, channels, -1)
        return flat.gather(2, chosen).view(batch, channels, height, width)

    upper = torch.lerp(at(top, left), at(top, left + 1), right_share)
    lower = torch.lerp(at(top + 1, left), at(top + 1, left + 1), right_share)
    # A hair above: a sum that is a whole number but for rounding is cut to that number.
    return (torch.lerp(upper, lower, low_share) + 1e-4).floor() * inside[:, None]
