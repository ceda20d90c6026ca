"""VGG: with BatchNorm VGG-16 with the 4096-wide head and VGG-11 for spectrograms; VGG-GAP for localisation.

Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556: five groups of convolutions 3x3 (with biases) of widths 64,
128, 256, 512, 512, each with BatchNorm and ReLU, each group ended by 2x2 maximum pooling. VGG-16 is their
configuration D, groups of 2, 2, 3, 3, 3; then global average pooling and 512-4096-4096-K with ReLU and
dropout 0.5, as paganpasta/OnMixup models/vgg.py builds it for On Mixup Training (STL-10). VGG-11 is
configuration A, groups of 1, 1, 2, 2, 2, as adiyoss/GCommandsPytorch model.py builds it, most likely for
mixup's Figure 4 (arXiv:1710.09412): behind the last pooling two linear layers, 7680-512-K of a spectrogram
161x101, with nothing between them. Both with torch's own initialisation. Five poolings need images of 32
pixels. Depths for mixing: 0 pixels, 1 to 5 after each pooling.

VGG-GAP is Zhou et al.'s VGG-16 (CVPR 2016, arXiv:1512.04150), without BatchNorm: no last pooling, then a
convolution 3x3 of 1024 channels with ReLU, global average pooling and one linear layer, so that the class
activation map of 224 pixels has 14x14. Their code, zhoubolei/CAM models/deploy_vgg16CAM.prototxt, which we
follow, makes that convolution in two groups, first weights normal 0.01, and has dropout 0.5 before the linear
layer; the other convolutions begin as torchvision's VGG does, He normal, fan out, no biases. There biases are
learned twice as fast and without weight decay; here as the recipe says. Depth 5 is behind the new one.
"""

from collections.abc import Sequence

from torch import nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import GlobalMean, Staged, check_size, he_fan_out

WIDTHS = (1, 2, 4, 8, 8)  # of the groups, in units of the first one's
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # in each group
LEAST = 2 ** len(WIDTHS)


def vgg16_bn(width: int, hidden: int, dropout: float, *, classes: int, channels: int) -> Staged:
    """VGG-16-BN; `width` channels in the first group (64), `hidden` units in the head's layers (4096)."""
    checks.whole("model.width", width, least=1)
    checks.whole("model.hidden", hidden, least=1)
    checks.fraction("model.dropout", dropout)
    groups = _groups(16, width, channels)
    head: list[nn.Module] = [GlobalMean()]
    for units in (WIDTHS[-1] * width, hidden):
        head += [nn.Linear(units, hidden), nn.ReLU(), nn.Dropout(dropout)]
    return Staged([*groups, nn.Sequential(*head, nn.Linear(hidden, classes))], least_side=LEAST)


def vgg11(size: Sequence[int], width: int, hidden: int, *, classes: int, channels: int) -> Staged:
    """VGG-11-BN for examples of `size` (height, width); `width` channels in the first group (64), `hidden`
    units between the two linear layers (512)."""
    checks.whole("model.width", width, least=1)
    checks.whole("model.hidden", hidden, least=1)
    high, wide = (side // LEAST for side in check_size(size, least=LEAST))
    groups, units = _groups(11, width, channels), WIDTHS[-1] * width * high * wide
    head = nn.Sequential(nn.Flatten(), nn.Linear(units, hidden), nn.Linear(hidden, classes))
    return Staged([*groups, head], least_side=LEAST)


def vgg_gap(width: int, units: int, groups: int, dropout: float, *, classes: int, channels: int) -> Staged:
    """VGG-GAP; `width` channels in the first group (64), `units` in the last convolution (1024), made in
    `groups` of channels (2)."""
    checks.whole("model.width", width, least=1)
    checks.whole("model.units", units, least=1)
    checks.whole("model.groups", groups, least=1)
    checks.fraction("model.dropout", dropout)
    made, last = _groups(16, width, channels, norm=False), WIDTHS[-1] * width
    if last % groups or units % groups:
        raise UserError(f"model.groups={groups}: {last} and {units} channels are no such groups; type 1")
    new = nn.Conv2d(last, units, 3, padding=1, groups=groups)
    made[-1] = nn.Sequential(*list(made[-1].children())[:-1], new, nn.ReLU())  # no last pooling
    head = nn.Sequential(GlobalMean(), nn.Dropout(dropout), nn.Linear(units, classes))
    network = Staged([*made, head], least_side=LEAST // 2)
    he_fan_out(network)
    nn.init.normal_(new.weight, std=0.01)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def _groups(depth: int, width: int, channels: int, *, norm: bool = True) -> list[nn.Module]:
    """Convolutions 3x3, BatchNorm (`norm`) and ReLU, with a pooling behind each group."""
    groups: list[nn.Module] = []
    for count, factor in zip(CONVOLUTIONS[depth], WIDTHS, strict=True):
        layers: list[nn.Module] = []
        for _ in range(count):
            layers += [
                nn.Conv2d(channels, width * factor, 3, padding=1),
                *([nn.BatchNorm2d(width * factor)] if norm else []),
                nn.ReLU(),
            ]
            channels = width * factor
        groups.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    return groups
