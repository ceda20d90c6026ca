"""torchvision's bottleneck ResNets for large images, their layers arranged as stages.

He et al., CVPR 2016, arXiv:1512.03385, and ResNeXt (Xie et al., CVPR 2017, arXiv:1611.05431), as
torchvision.models.resnet50, resnet101 and the like build and initialise them (a bottleneck's stride on its
3x3 convolution; He normal, fan out), without weights: a 7x7 stem of stride 2 and a 3x3 maximum of stride 2.
clovaai/CutMix-PyTorch resnet.py builds the same for ImageNet. Made for 224 pixels; the map is 32 times
smaller than the image, so images of less than 32 pixels are refused.
Depths for mixing: 0 pixels, 1 to 4 after each of the four groups.
"""

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import Staged, check_blocks


def resnet50(
    blocks: Sequence[int],
    width: int,
    groups: int = 1,
    last_stride: int = 2,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """ResNet-50 is blocks [3, 4, 6, 3] and width 64, which are the channels inside the first group's
    bottlenecks (torchvision's width_per_group); ResNet-101 [3, 4, 23, 3]; ResNeXt-101 32x4d that with 32
    `groups` of width 4. last_stride: of the last group; with 1, as in CutMix's localisation
    (arXiv:1905.04899, appendix B), its map is 14x14 in place of 7x7 pixels, and the weights are the same.
    Raises UserError for images that are not of 3 channels."""
    check_blocks(blocks, "[3,4,6,3]")
    if len(blocks) != 4:
        raise UserError(f"model.blocks={list(blocks)}: must be four numbers; type model.blocks=[3,4,6,3]")
    checks.whole("model.width", width, least=1)
    checks.whole("model.groups", groups, least=1)
    if last_stride not in (1, 2):
        raise UserError(f"model.last_stride={last_stride}: must be 1 or 2; type model.last_stride=2")
    if channels != 3:
        raise UserError(
            f"model=resnet50: needs images of 3 channels, these have {channels}; type model=resnet18"
        )
    net = ResNet(Bottleneck, list(blocks), num_classes=classes, groups=groups, width_per_group=width)
    first = net.layer4[0]
    for layer in (first.conv2, first.downsample[0]):
        layer.stride = (last_stride, last_stride)
    if regulariser is not None:
        bottlenecks = [module for module in net.modules() if isinstance(module, Bottleneck)]
        for number, block in enumerate(bottlenecks, 1):
            ended = nn.Sequential(block.bn3, branch_end(regulariser, number, len(bottlenecks)))
            block.bn3 = ended  # what torchvision adds the shortcut to
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    head = nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
    return Staged([nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4, head], least_side=32)


def layers_of(network: nn.Module) -> list[Any]:
    """Copies of the stem with `layer1`, of `layer2`, `layer3` and `layer4` of a network of `resnet50`, for
    another one that begins with them. UserError where it is another network."""
    stages: Any = network.stages if isinstance(network, Staged) else ()
    if len(stages) != 5 or not all(isinstance(stage[-1], Bottleneck) for stage in stages[1:4]):
        raise UserError(
            "a detector here begins with torchvision's bottlenecks; train model=resnet50, resnet101 or "
            "resnext101"
        )
    first, *others = [copy.deepcopy(stage) for stage in stages[:4]]
    return [nn.Sequential(*first[0], *first[1]), *others]
