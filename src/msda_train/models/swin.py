"""torchvision's Swin transformer, its layers arranged as stages.

Liu et al., ICCV 2021, arXiv:2103.14030: attention inside windows that are shifted in every second block,
patches that are merged two by two between the groups, the mean of all tokens for the classifier. Built and
initialised by torchvision.models.SwinTransformer, without weights. Stochastic depth per sample rises
linearly from 0 to `drop_path`. Swin-T is width 96, blocks [2, 2, 6, 2], heads [3, 6, 12, 24], window 7:
28.29 M parameters for 1,000 classes (28,288,354).
First weights as the authors': linear layers and position tables truncated normal of 0.02, the patches'
convolution torch's own. A window larger than the map is filled up with zeros, where the authors' code shrinks
it: `window` should divide the map, 7 for 224 pixels in patches of 4, 4 for 32 pixels in patches of 2.
Depths for mixing: 0 pixels, 1 to 4 the maps (B, C, H, W) after each group of blocks.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import GlobalMean, Staged, check_blocks


class Permute(nn.Module):
    """Between torchvision's (B, H, W, C) and the (B, C, H, W) that stages exchange: no pixel is moved."""

    def __init__(self, *order: int):
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.permute(self.order)


def swin(
    patch: int,
    width: int,
    blocks: Sequence[int],
    heads: Sequence[int],
    window: int,
    drop_path: float,
    *,
    classes: int,
    channels: int,
) -> Staged:
    """A Swin transformer of len(blocks) groups, the first of `width` channels; raises UserError for images
    that are not of 3 channels."""
    checks.whole("model.patch", patch, least=1)
    checks.whole("model.width", width, least=1)
    checks.whole("model.window", window, least=1)
    checks.fraction("model.drop_path", drop_path)
    check_blocks(blocks, "[2,2,6,2]")
    if isinstance(heads, str | int) or len(heads) != len(blocks):
        raise UserError(f"model.heads={heads}: one number for each group; type model.heads=[3,6,12,24]")
    for group, count in enumerate(heads):
        checks.whole("model.heads", count, least=1)
        if width * 2**group % count:
            raise UserError(
                f"model.heads={list(heads)}: {count} do not divide the group's {width * 2**group} channels; "
                f"type model.heads={[1] * len(blocks)}"
            )
    if channels != 3:
        raise UserError(f"model=swin_t: needs images of 3 channels, these have {channels}; type model=deit_s")
    net = SwinTransformer(
        [patch, patch],
        width,
        list(blocks),
        list(heads),
        [window, window],
        stochastic_depth_prob=drop_path,
        num_classes=classes,
    )
    # torchvision's layers: embedding, blocks, merging, blocks, merging, ...
    pairs = [net.features[k : k + 2] for k in range(0, len(net.features), 2)]
    stages: list[nn.Module] = [nn.Sequential(*pairs[0], Permute(0, 3, 1, 2))]
    stages += [nn.Sequential(Permute(0, 2, 3, 1), *pair, Permute(0, 3, 1, 2)) for pair in pairs[1:]]
    head = nn.Sequential(Permute(0, 2, 3, 1), net.norm, Permute(0, 3, 1, 2), GlobalMean(), net.head)
    return Staged([*stages, head], least_side=patch)
