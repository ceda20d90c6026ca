"""DropBlock zeroes squares of the feature maps in training.

Ghiasi, Lin & Le, NeurIPS 2018, arXiv:1810.12890, algorithm 1. Squares of side b start at seeds that fall with
probability gamma; what is left is multiplied by (elements) / (elements left), over the whole batch.
- `paper`: gamma = rate / b^2 * f^2 / (f - b + 1)^2 for maps of side f (where they are not square, each axis
  by its own); seeds only where the square lies inside the map; every channel has its own squares. So does
  the authors' TensorFlow code (tensorflow/tpu models/official/resnet/resnet_model.py).
- `code`: miguelvr/dropblock, gamma = rate / b^2; seeds everywhere and squares cut at the border; all channels
  share the squares. An even square reaches one pixel further down and right.
Ours ends every residual branch and holds the rate constant. The paper places it behind convolutions and
shortcuts of the last two groups and raises the rate over training; where CutMix's comparison
(arXiv:1905.04899: keep 0.9, b = 4) places it is not stated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError


class DropSquares(nn.Module):
    """DropBlock with squares of side `block`."""

    def __init__(self, rate: float, block: int, seed_rate: str):
        super().__init__()
        self.rate, self.block, self.seed_rate = rate, block, seed_rate

    def kept(self, h: Tensor) -> Tensor:
        """Which elements stay, float32 of 0 and 1: (B, C, H, W), or (B, 1, H, W) with `code`."""
        (batch, channels, height, width), b = h.shape, self.block
        if self.seed_rate == "paper":
            rows, columns = height - b + 1, width - b + 1
            gamma = self.rate / b**2 * (height * width) / (rows * columns)
            seeds = (torch.rand(batch, channels, rows, columns, device=h.device) < gamma).float()
            return 1 - F.max_pool2d(F.pad(seeds, (b - 1,) * 4), b, stride=1)
        seeds = (torch.rand(batch, 1, height, width, device=h.device) < self.rate / b**2).float()
        return 1 - F.max_pool2d(seeds, b, stride=1, padding=b // 2)[..., :height, :width]

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape and type; raises UserError where the square does not fit."""
        height, width = h.shape[-2:]
        if self.block > min(height, width):
            raise UserError(
                f"model.regulariser.block={self.block}: larger than the network's feature maps of "
                f"{height}x{width}; type model.regulariser.block={min(height, width)}"
            )
        if not self.training:
            return h
        kept = self.kept(h)
        scale = kept.numel() / kept.sum().clamp(min=1)  # nothing left: 0, not 0 / 0
        return (h * (kept * scale)).to(h.dtype)


@dataclass(frozen=True)
class DropBlock:
    """rate: the share of elements to drop, 1 - keep_prob; block: side of a square; seed_rate: paper, code."""

    rate: float = 0.1
    block: int = 4
    seed_rate: str = "paper"

    def __post_init__(self) -> None:
        checks.fraction("model.regulariser.rate", self.rate)
        checks.whole("model.regulariser.block", self.block, least=1)
        checks.one_of("model.regulariser.seed_rate", self.seed_rate, ("paper", "code"))

    def branch(self, block: int, blocks: int) -> nn.Module:
        """See `Regulariser.branch`; the same at every depth."""
        return DropSquares(self.rate, self.block, self.seed_rate)
