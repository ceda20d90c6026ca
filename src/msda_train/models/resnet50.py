"""torchvision's ResNet-50 for large images, its layers arranged as stages.

He et al., CVPR 2016, arXiv:1512.03385, as torchvision.models.resnet50 builds and initialises it (a
bottleneck's stride on its 3x3 convolution; He normal, fan out), without weights. Made for 224 pixels; its map
is 32 times smaller than the image, so images of less than 32 pixels are refused.
Depths for mixing: 0 pixels, 1 to 4 after each of the four groups.
"""

from collections.abc import Sequence

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import Staged, check_blocks


def resnet50(blocks: Sequence[int], width: int, *, classes: int, channels: int) -> Staged:
    """ResNet-50 is blocks [3, 4, 6, 3] and width 64, which are the channels inside the first group's
    bottlenecks (torchvision's width_per_group); raises UserError for images that are not of 3 channels."""
    check_blocks(blocks, "[3,4,6,3]")
    if len(blocks) != 4:
        raise UserError(f"model.blocks={list(blocks)}: must be four numbers; type model.blocks=[3,4,6,3]")
    checks.whole("model.width", width, least=1)
    if channels != 3:
        raise UserError(
            f"model=resnet50: needs images of 3 channels, these have {channels}; type model=resnet18"
        )
    net = ResNet(Bottleneck, list(blocks), num_classes=classes, width_per_group=width)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Staged([nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4, head], least_side=32)
