"""What methods for vision transformers share: the class token's attention, and the grid of patches."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.core.mix import Attends
from msda_train.models.last_linear import given_to
from msda_train.models.vision_transformer import Embed, SelfAttention, fitting_patch


def attending(network: nn.Module, method: str) -> Attends:
    """`network`, which has a class token to ask; UserError where it has none."""
    if not isinstance(network, Attends):
        raise UserError(
            f"method={method}: needs a network with a class token's attention, and pictures; type "
            f"model=deit_s model.size=[32,32] model.patch=2 where they have 32 pixels, [8,8] and 1 for digits"
        )
    return network


def patch_of(patch: int | None, network: Any, height: int, width: int) -> int:
    """Pixels a side of a patch: as it was typed, as the network has it, or such that an image has about 14 a
    side. UserError where they do not divide the image."""
    embeds = () if network is None else (m for m in network.modules() if isinstance(m, Embed))
    its = next((int(m.patches.kernel_size[0]) for m in embeds), None)
    found = patch or its or fitting_patch(height, width)
    if height % found or width % found:
        raise UserError(
            f"method.patch={found}: does not divide images of {height}x{width} pixels; "
            f"type method.patch={fitting_patch(height, width)}"
        )
    return found


def grid_of(height: int, width: int, patches: int) -> tuple[int, int]:
    """Rows and columns of so many square patches of an image."""
    side = round((height * width / patches) ** 0.5)
    return height // side, width // side


def on_patches(mask: Tensor, patches: int) -> Tensor:
    """A mask (n, 1, H, W) of pixels as one (n, patches): each patch has its first pixel's value."""
    height, width = mask.shape[2:]
    return F.interpolate(mask, grid_of(height, width, patches), mode="nearest").flatten(1)


def attended_share(network: nn.Module, mask: Tensor, area: Tensor, method: str) -> Tensor:
    """(B,) of the latest forward pass: the share of the class token's attention that falls on what a mask
    (B|1, 1, H, W) keeps; `area` (B|1,) where it looks at nothing at all."""
    seen = attending(network, method).attention
    assert seen is not None
    kept, whole = (on_patches(mask, seen.shape[1]) * seen).sum(dim=1), seen.sum(dim=1)
    return torch.where(whole > 0, kept / whole, area)


@torch.no_grad()
def look(network: nn.Module, x: Tensor, method: str, asked: str) -> tuple[Tensor, Tensor]:
    """What a network in evaluation mode says of x (B, C, H, W): logits (B, K) and attention to its N patches
    (B, N), both float32, the last block's mean over heads. asked: whose attention: of the `class` token, or
    what `patches` get from all patches on average. Leaves the network in training mode."""
    attends = attending(network, method)
    block = [module for module in network.modules() if isinstance(module, SelfAttention)][-1]
    before, attends.attend = attends.attend, asked == "class"
    network.eval()
    with given_to(block) as inputs:
        logits = network(x)
    network.train()
    seen = attends.attention if asked == "class" else among_patches(block, inputs[0])
    attends.attend = before
    assert seen is not None
    return logits.float(), seen


def among_patches(block: SelfAttention, h: Tensor) -> Tensor:
    """(B, N) float32 from the block's input (B, 1 + N, C): the attention that each patch gets from the
    patches, mean over heads and over those that ask."""
    batch, tokens, _ = h.shape
    q, k, _ = block.qkv(h).float().view(batch, tokens, 3, block.heads, -1).permute(2, 0, 3, 1, 4)
    whole = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1)
    mean: Tensor = whole[:, :, 1:, 1:].mean(dim=(1, 2))
    return mean


def moved(x: Tensor, perm: Tensor, by: Tensor) -> Tensor:
    """The partners x[perm] (B, C, H, W), each moved up and left by so many pixels, `by` (2, B); what leaves
    the image comes in on the other side."""
    height, width = x.shape[2:]
    rows = (torch.arange(height, device=x.device) + by[0][:, None]) % height
    columns = (torch.arange(width, device=x.device) + by[1][:, None]) % width
    return x[perm[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def squares(seen: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """In maps (B, rows, columns) the squares of so many cells a side with the least and with the largest sum,
    each as its first row and column (B, 2) int64."""
    sums = F.avg_pool2d(seen[:, None], side, stride=1).flatten(1)
    across = seen.shape[2] - side + 1
    least, most = sums.argmin(dim=1), sums.argmax(dim=1)
    return torch.stack([least // across, least % across], 1), torch.stack([most // across, most % across], 1)
