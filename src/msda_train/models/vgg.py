"""VGG-16 with BatchNorm and the 4096-wide head, global average pooling in front of it.

Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, configuration D: five groups of 2, 2, 3, 3, 3 convolutions
3x3 (with biases) of widths 64, 128, 256, 512, 512, each with BatchNorm and ReLU, each group ended by 2x2
maximum pooling; then 512-4096-4096-K with ReLU and dropout 0.5. As paganpasta/OnMixup models/vgg.py builds it
for On Mixup Training (STL-10), with torch's own initialisation. Five poolings need images of 32 pixels.
Depths for mixing: 0 pixels, 1 to 5 after each pooling.
"""

from torch import nn

from msda_train.config import checks
from msda_train.models.staged import GlobalMean, Staged

GROUPS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))  # convolutions, width in units of the first group's


def vgg16_bn(width: int, hidden: int, dropout: float, *, classes: int, channels: int) -> Staged:
    """VGG-16-BN; `width` channels in the first group (64), `hidden` units in the head's layers (4096)."""
    checks.whole("model.width", width, least=1)
    checks.whole("model.hidden", hidden, least=1)
    checks.fraction("model.dropout", dropout)
    stages, channels_in = [], channels
    for count, factor in GROUPS:
        layers: list[nn.Module] = []
        for _ in range(count):
            layers += [
                nn.Conv2d(channels_in, width * factor, 3, padding=1),
                nn.BatchNorm2d(width * factor),
                nn.ReLU(),
            ]
            channels_in = width * factor
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    head: list[nn.Module] = [GlobalMean()]
    for units in (channels_in, hidden):
        head += [nn.Linear(units, hidden), nn.ReLU(), nn.Dropout(dropout)]
    return Staged([*stages, nn.Sequential(*head, nn.Linear(hidden, classes))], least_side=2 ** len(GROUPS))
