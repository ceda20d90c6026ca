"""What a regulariser of the residual branch is; each kind has a file of its own.

A regulariser is handed to a network's builder as `regulariser`. At the end of every residual branch, behind
its last convolution or BatchNorm and before the shortcut is added, the builder puts the module that
`branch` makes. None is off: then nothing is computed and a checkpoint holds the same names.
"""

from typing import Protocol

from torch import nn

from msda_train.core.errors import UserError


class Regulariser(Protocol):
    """A frozen dataclass whose fields are its options (`model.regulariser.*`)."""

    def branch(self, block: int, blocks: int) -> nn.Module:
        """The module (B, C, H, W) -> (B, C, H, W) of residual block `block`, 1 to `blocks`."""
        ...


def branch_end(regulariser: Regulariser | None, block: int, blocks: int) -> nn.Module:
    """What ends the branch of `block` (1-based) of `blocks`; raises UserError for a mere word."""
    if regulariser is None:
        return nn.Identity()
    if not hasattr(regulariser, "branch"):
        raise UserError(f"model.regulariser={regulariser}: is no regulariser; type regulariser=stochdepth")
    return regulariser.branch(block, blocks)


def linear_survival(rate: float, block: int, blocks: int) -> float:
    """The linear decay rule of Stochastic Depth and ShakeDrop: 1 at the image, 1 - rate in the last block."""
    return 1 - rate * block / blocks
