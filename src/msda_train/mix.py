"""Who is mixed with whom, where and how much: `Mix`, the value that methods plan and models apply."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.randomness import Rng

NOWHERE = -1  # a depth that no stage has: the batch stays as it is


@dataclass(frozen=True)
class Mix:
    """One batch's plan. B batch size, H x W pixels, K classes.

    perm: (B,) int64, partner of each sample.
    lam: (B,) or (1,) float32, label weight of the sample itself.
    mask: (B|1, 1, H|1, W|1) float32, pixel weight of the sample itself.
    depth: 0 for pixels, k for the input of the model's stage k, NOWHERE for none.
    sources: (own, other) where they are not (h, h[perm]).
    shares: (B, B) float32 label weights, rows sum to 1, where a sample has more than one partner.
    """

    perm: Tensor
    lam: Tensor
    mask: Tensor
    depth: int = 0
    sources: tuple[Tensor, Tensor] | None = None
    shares: Tensor | None = None

    @classmethod
    def identity(cls, x: Tensor) -> "Mix":
        """No mixing this step, without a branch in the step."""
        one = torch.ones(1, device=x.device)
        return cls(torch.arange(len(x), device=x.device), one, one.view(1, 1, 1, 1), depth=NOWHERE)

    def apply(self, h: Tensor) -> Tensor:
        """Mixed pixels or features (B, C, H, W), in the type of `h`; `h` itself is left alone.

        Written m * own + (1 - m) * other, not as a lerp: where m is 0 or 1 the pixels are bit for bit the
        originals. The sum is formed in the mask's float32, so lam is not rounded where features are bfloat16.
        """
        own, other = self.sources or (h, h[self.perm])
        return (self.mask * own + (1 - self.mask) * other).to(h.dtype)

    def pixels(self, x: Tensor) -> Tensor:
        """Mixed pixels (B, C, H, W) where this plan mixes pixels, else x as it is."""
        return self.apply(x) if self.depth == 0 else x

    def target(self, y: Tensor, classes: int) -> Tensor:
        """(B, K) float32 soft labels lam * onehot(y) + (1 - lam) * onehot(y[perm]), or shares @ onehot(y)."""
        own = F.one_hot(y, classes).float()
        if self.shares is not None:
            return (self.shares[:, :, None] * own).sum(dim=1)  # no matmul: autocast would round it
        lam = self.lam[:, None]
        return lam * own + (1 - lam) * own[self.perm]


class Method(Protocol):
    """What a mixing method is: something that plans. Its fields are its options.

    One that needs something of the model may also have `check(model)`, which raises UserError in time.
    """

    def plan(self, x: Tensor, y: Tensor, model: nn.Module | Any, rng: Rng) -> Mix:
        """The plan for one batch: x (B, C, H, W) normalised images, y (B,) labels, the model in training
        mode, and the generator of this step. Never writes into x.

        Runs under the step's autocast after the gradients were cleared: a method that also learns from the
        clean batch calls backward() itself, and the step adds its own gradients."""
        ...
