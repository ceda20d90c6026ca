"""ShakeDrop scales a residual branch by one random factor forward and by another backward.

Yamada et al., IEEE Access 2019, arXiv:1802.02375: b + alpha - b * alpha forward, b + beta - b * beta
backward, so 1 where the gate b is 1, else alpha ~ U(-1, 1) and beta ~ U(0, 1), drawn independently. P(b = 1)
falls linearly from 1 to 1 - rate over the blocks, counted from 1; the published rate is 0.5. Evaluation
multiplies by the expectation of the forward factor, which is P(b = 1).
Code: owruby/shake-drop_pytorch, kakaobrain/fast-autoaugment: one gate per block and batch, alpha and beta per
image (our default). The authors' own published numbers are per `pixel`: for each element of (B, C, H, W).
Which of them CutMix's row (arXiv:1905.04899) uses is not stated.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.gradient import in_type
from msda_train.models.regulariser import linear_survival


class Scale(torch.autograd.Function):
    """h * forward_factor, whose gradient is grad * backward_factor; the factors are float32."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, forward_factor: Tensor, backward_factor: Tensor) -> Tensor:
        """h (B, C, H, W), factors of a shape that broadcasts; keeps the type of `h`."""
        ctx.save_for_backward(backward_factor)
        return in_type(h * forward_factor, h.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The factors take no gradient: they are draws."""
        (backward_factor,) = ctx.saved_tensors
        return (grads[0] * backward_factor).to(grads[0].dtype), None, None


class Shake(nn.Module):
    """The end of one branch that survives with probability `survival`."""

    def __init__(self, survival: float, per: str):
        super().__init__()
        self.survival, self.per = survival, per

    def factors(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """This batch's forward and backward factors, (1, 1, 1, 1), (B, 1, 1, 1) or (B, C, H, W)."""
        shape = {"batch": (1, 1, 1, 1), "image": (h.shape[0], 1, 1, 1), "pixel": h.shape}[self.per]
        gate = torch.rand(1, 1, 1, 1, device=h.device) < self.survival
        alpha = torch.rand(shape, device=h.device) * 2 - 1
        beta = torch.rand(shape, device=h.device)
        # Chosen, not computed as b + alpha - b * alpha: a kept branch stays bit for bit what it was.
        return torch.where(gate, 1.0, alpha), torch.where(gate, 1.0, beta)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape and type."""
        if not self.training:
            return h * self.survival
        scaled: Tensor = Scale.apply(h, *self.factors(h))
        return scaled


@dataclass(frozen=True)
class ShakeDrop:
    """rate: how often the last block's gate is closed; per: what shares one alpha and one beta."""

    rate: float = 0.5
    per: str = "image"

    def __post_init__(self) -> None:
        checks.fraction("model.regulariser.rate", self.rate)
        checks.one_of("model.regulariser.per", self.per, ("batch", "image", "pixel"))

    def branch(self, block: int, blocks: int) -> nn.Module:
        """See `Regulariser.branch`."""
        return Shake(linear_survival(self.rate, block, blocks), self.per)
