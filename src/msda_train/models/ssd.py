"""SSD300 that begins with the layers of a trained ResNet, of torchvision's parts.

SSD (Liu et al., ECCV 2016, arXiv:1512.02325) as amdegroot/ssd.pytorch has it for VGG-16, with `layer2`'s
output (38x38, 512 channels) in place of conv4_3's, as CutMix says (arXiv:1905.04899, appendix C). Not said:
what comes next. Here `layer3` (19x19, 1,024 channels) stands in for fc7, which has the same shape, and the
layers from conv8 on are the program's; BatchNorms learn like all layers. Boxes, matching, losses and
suppression are torchvision's, with the program's numbers. Colours are normalised as for the trained network;
the program subtracts means of VGG's.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from msda_train.models.resnet50 import layers_of

ASPECTS = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]  # of the boxes, by map
SIDES = [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05]  # theirs, of the image's; the last one is of a mean only
KEPT = 200  # of each class, the surest
STRIDES = [8, 16, 32, 64, 100, 300]  # pixels


def ssd300(network: nn.Module, classes: int, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """torchvision's SSD on images (3, H, W) in [0, 1], `classes` with the background; `network` is copied.
    UserError where that is no ResNet of torchvision's bottlenecks."""
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD

    body = SsdBody(layers_of(network))
    boxes = DefaultBoxGenerator(ASPECTS, scales=SIDES, steps=STRIDES)
    options: dict[str, Any] = {"image_mean": list(mean), "image_std": list(std)}
    options |= {"topk_candidates": KEPT, "detections_per_img": KEPT * (classes - 1)}  # as many of each class
    made: nn.Module = SSD(body, boxes, (300, 300), classes, **options)
    return made


class SsdBody(nn.Module):
    """Images (B, 3, 300, 300) to the six maps that SSD looks at, of 38, 19, 10, 5, 3 and 1 points a side. The
    first one is scaled to a length that is learned, 20 at the start, as ParseNet does."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.first, self.second = nn.Sequential(*layers[:2]), layers[2]
        ends: list[Any] = [layers[1], layers[2]]
        channels = [each[-1].conv3.out_channels for each in ends]
        self.scale = nn.Parameter(torch.full((channels[0],), 20.0))
        shapes = [(256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1)]  # inside, out, stride
        self.more, before = nn.ModuleList(), channels[1]
        for inside, out, stride in shapes:
            wide = nn.Conv2d(inside, out, 3, stride, padding=stride - 1)
            self.more.append(nn.Sequential(nn.Conv2d(before, inside, 1), nn.ReLU(), wide, nn.ReLU()))
            before = out
        for layer in self.more.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.out_channels = [*channels, *(out for _, out, _ in shapes)]

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        """See the class."""
        x = self.first(x)
        maps = [self.scale.view(1, -1, 1, 1) * normalize(x, dim=1)]
        x = self.second(x)
        maps.append(x)
        for layer in self.more:
            x = layer(x)
            maps.append(x)
        return OrderedDict((str(number), each) for number, each in enumerate(maps))
