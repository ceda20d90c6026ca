"""What methods for vision transformers share: the class token's attention, and the grid of patches."""

from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.core.mix import Attends


def attending(network: nn.Module, method: str) -> Attends:
    """`network`, which has a class token to ask; UserError where it has none."""
    if not isinstance(network, Attends):
        raise UserError(
            f"method={method}: needs a network with a class token's attention; type model=deit_s, and "
            f"model.size=[32,32] model.patch=2 where images have 32 pixels"
        )
    return network


def grid_of(height: int, width: int, patches: int) -> tuple[int, int]:
    """Rows and columns of so many square patches of an image."""
    side = round((height * width / patches) ** 0.5)
    return height // side, width // side


def on_patches(mask: Tensor, patches: int) -> Tensor:
    """A mask (n, 1, H, W) of pixels as one (n, patches): each patch has its first pixel's value."""
    height, width = mask.shape[2:]
    return F.interpolate(mask, grid_of(height, width, patches), mode="nearest").flatten(1)
