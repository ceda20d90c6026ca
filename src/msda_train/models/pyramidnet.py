"""PyramidNet: a residual network whose width grows a little in every block.

Han, Kim & Kim, CVPR 2017, arXiv:1610.02915; code: dyhan0920/PyramidNet-PyTorch PyramidNet.py and
clovaai/CutMix-PyTorch pyramidnet.py (CutMix's tables: depth 200 with alpha 240, depth 110 with alpha 64).
A 16-channel stem with BatchNorm and no ReLU, three groups of (depth - 2) / 9 blocks with strides 1, 2, 2,
final BatchNorm and ReLU, average pooling, linear. Block i of N has the width round(16 + i * alpha / N) and
four times as many channels at its end. Its branch is BN-conv1x1-BN-ReLU-conv3x3-BN-ReLU-conv1x1-BN: no ReLU
at the start, a BatchNorm at the end. The shortcut has no weights: 2x2 average pooling where the map shrinks,
and zeros for the channels that are missing, which is in every block.
`basic=true` (owruby/shake-drop_pytorch, depth 110 with alpha 270): (depth - 2) / 6 blocks a group, whose
branch is BN-conv3x3-BN-ReLU-conv3x3-BN and ends as wide as it is inside; the width is rounded up, the stem's
convolution has a bias, and the classifier starts without one.
Convolutions start as He normal (fan out), BatchNorms as 1 and 0, the classifier as torch has it.
`pad_channels` (padding.py) changes no number: inside stages, widths like 20, 23, 27 become multiples of 8.
Depths for mixing: 0 pixels, 1 to 3 after each group.
"""

import math
from functools import partial

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.padding import Narrow, PaddedBatchNorm2d, PaddedConv2d, narrowed, widened
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

EXPANSION = 4


class BasicPyramidBlock(nn.Module):
    """Two convolutions of `channels`; the shortcut is pooled and padded with zero channels, as below."""

    def __init__(self, channels_in: int, channels: int, stride: int, *, end: nn.Module):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu, self.end = nn.ReLU(), end
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride), the side rounded up."""
        h = self.conv2(self.relu(self.bn2(self.conv1(self.bn1(x)))))
        branch: Tensor = self.end(self.bn3(h))
        return branch + widened(self.pool(x), branch.shape[1] - x.shape[1])


class PyramidBlock(nn.Module):
    """Bottleneck of `width` channels; the shortcut is padded with zero channels. All channels are filled up
    to multiples of `multiple`."""

    def __init__(self, channels_in: int, width: int, stride: int, *, end: nn.Module, multiple: int = 1):
        super().__init__()
        conv = partial(PaddedConv2d, multiple=multiple)
        self.multiple, self.channels = multiple, width * EXPANSION
        self.bn1 = PaddedBatchNorm2d(channels_in)
        self.conv1 = conv(channels_in, width, 1)
        self.bn2 = PaddedBatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn3 = PaddedBatchNorm2d(width)
        self.conv3 = conv(width, self.channels, 1)
        self.bn4 = PaddedBatchNorm2d(self.channels)
        self.relu = nn.ReLU()
        self.end = end
        # As wide as the strided convolution's output where the side is odd.
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride), the side rounded up; C_in and C filled up."""
        x = widened(x, -x.shape[1] % self.multiple)
        h = self.conv1(self.bn1(x))
        h = self.conv2(self.relu(self.bn2(h)))
        h = self.bn4(self.conv3(self.relu(self.bn3(h))))
        # A regulariser's draws are as many as the true channels.
        branch = self.end(h if isinstance(self.end, nn.Identity) else narrowed(h, self.channels))
        channels = h.shape[1]
        return widened(branch, channels - branch.shape[1]) + widened(self.pool(x), channels - x.shape[1])


def pyramidnet(
    depth: int,
    alpha: float,
    width: int,
    pad_channels: int = 1,
    basic: bool = False,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """PyramidNet-`depth` that widens by `alpha` from a stem of `width` channels (16), channels filled up to
    multiples of `pad_channels`; raises UserError unless depth is 9n + 2, of basic blocks 6n + 2."""
    checks.flag("model.basic", basic)
    layers = 6 if basic else 9  # convolutions of a block in each of the three groups
    checks.whole("model.depth", depth, least=layers + 2)
    checks.positive("model.alpha", alpha)
    checks.whole("model.width", width, least=1)
    checks.whole("model.pad_channels", pad_channels, least=1)
    blocks, rest = divmod(depth - 2, layers)
    if rest:
        raise UserError(
            f"model.depth={depth}: this PyramidNet's depth is {layers}n + 2; "
            f"type model.depth={layers * blocks + 2}"
        )
    if basic and pad_channels > 1:
        raise UserError("model.pad_channels: is of bottlenecks; type model.pad_channels=1")
    total = 3 * blocks
    stem: nn.Module = PaddedConv2d(channels, width, 3, multiple=pad_channels)
    if basic:
        stem = nn.Conv2d(channels, width, 3, padding=1)
    groups: list[list[nn.Module]] = [[stem, PaddedBatchNorm2d(width)], [], []]
    channels_in = width
    for i in range(total):
        stride = 2 if i in (blocks, 2 * blocks) else 1
        end = branch_end(regulariser, i + 1, total)
        if basic:
            wide = width + math.ceil(alpha / total * (i + 1))
            groups[i // blocks].append(BasicPyramidBlock(channels_in, wide, stride, end=end))
            channels_in = wide
            continue
        wide = round(width + (i + 1) * alpha / total)
        groups[i // blocks].append(PyramidBlock(channels_in, wide, stride, end=end, multiple=pad_channels))
        channels_in = wide * EXPANSION
        if pad_channels > 1 and (i + 1) % blocks == 0:
            groups[i // blocks].append(Narrow(channels_in))
    classifier = nn.Linear(channels_in, classes)
    if basic:
        nn.init.zeros_(classifier.bias)
    head = nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(), GlobalMean(), classifier)
    model = Staged([*(nn.Sequential(*group) for group in groups), head])
    he_fan_out(model)
    return model
