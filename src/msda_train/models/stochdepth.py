"""Stochastic Depth drops whole residual branches in training.

Huang et al., ECCV 2016, arXiv:1603.09382, equations (2) to (5). Survival falls linearly from 1 to 1 - rate
over the blocks, counted from 1 (their yueatsprograms/Stochastic_Depth main.lua; one port counts from 0).
One draw per block and batch; evaluation multiplies the branch by its survival, training rescales nothing.
CutMix's comparison (arXiv:1905.04899) uses rate 0.25; its placement is not stated.
Differences from the authors' code, whose dropped branch is not computed at all: ours is computed and
multiplied by 0, so its BatchNorm statistics move on, no time is saved and nothing waits for the host.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.models.regulariser import linear_survival


class DropBranch(nn.Module):
    """Keeps a branch with probability `survival`, else zero; one draw per batch, or one per sample."""

    def __init__(self, survival: float, *, per_sample: bool):
        super().__init__()
        self.survival, self.per_sample = survival, per_sample

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape and type."""
        if not self.training:
            return h * self.survival
        draws = h.shape[0] if self.per_sample else 1
        return h * (torch.rand(draws, 1, 1, 1, device=h.device) < self.survival)


@dataclass(frozen=True)
class StochDepth:
    """rate: how often the last block's branch is dropped; per: batch, or sample for one draw per image."""

    rate: float = 0.25
    per: str = "batch"

    def __post_init__(self) -> None:
        checks.fraction("model.regulariser.rate", self.rate)
        checks.one_of("model.regulariser.per", self.per, ("batch", "sample"))

    def branch(self, block: int, blocks: int) -> nn.Module:
        """See `Regulariser.branch`."""
        return DropBranch(linear_survival(self.rate, block, blocks), per_sample=self.per == "sample")
