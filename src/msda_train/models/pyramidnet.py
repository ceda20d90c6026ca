"""PyramidNet with bottlenecks: a residual network whose width grows a little in every block.

Han, Kim & Kim, CVPR 2017, arXiv:1610.02915; code: dyhan0920/PyramidNet-PyTorch PyramidNet.py and
clovaai/CutMix-PyTorch pyramidnet.py (CutMix's tables: depth 200 with alpha 240, depth 110 with alpha 64).
A 16-channel stem with BatchNorm and no ReLU, three groups of (depth - 2) / 9 blocks with strides 1, 2, 2,
final BatchNorm and ReLU, average pooling, linear. Block i of N has the width round(16 + i * alpha / N) and
four times as many channels at its end. Its branch is BN-conv1x1-BN-ReLU-conv3x3-BN-ReLU-conv1x1-BN: no ReLU
at the start, a BatchNorm at the end. The shortcut has no weights: 2x2 average pooling where the map shrinks,
and zeros for the channels that are missing, which is in every block.
Convolutions start as He normal (fan out), BatchNorms as 1 and 0, the classifier as torch has it.
`pad_channels` (padding.py) changes no number: inside stages, widths like 20, 23, 27 become multiples of 8.
Depths for mixing: 0 pixels, 1 to 3 after each group.
"""

from functools import partial

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.padding import Narrow, PaddedBatchNorm2d, PaddedConv2d, narrowed, widened
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

EXPANSION = 4


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
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """PyramidNet-`depth` that widens by `alpha` from a stem of `width` channels (16), channels filled up to
    multiples of `pad_channels`; raises UserError unless depth is 9n + 2."""
    checks.whole("model.depth", depth, least=11)
    checks.positive("model.alpha", alpha)
    checks.whole("model.width", width, least=1)
    checks.whole("model.pad_channels", pad_channels, least=1)
    blocks, rest = divmod(depth - 2, 9)
    if rest:
        raise UserError(
            f"model.depth={depth}: a PyramidNet's depth is 9n + 2; type model.depth={9 * blocks + 2}"
        )
    total = 3 * blocks
    stem = PaddedConv2d(channels, width, 3, multiple=pad_channels)
    groups: list[list[nn.Module]] = [[stem, PaddedBatchNorm2d(width)], [], []]
    channels_in = width
    for i in range(total):
        stride = 2 if i in (blocks, 2 * blocks) else 1
        wide = round(width + (i + 1) * alpha / total)
        end = branch_end(regulariser, i + 1, total)
        groups[i // blocks].append(PyramidBlock(channels_in, wide, stride, end=end, multiple=pad_channels))
        channels_in = wide * EXPANSION
        if pad_channels > 1 and (i + 1) % blocks == 0:
            groups[i // blocks].append(Narrow(channels_in))
    head = nn.Sequential(
        nn.BatchNorm2d(channels_in), nn.ReLU(), GlobalMean(), nn.Linear(channels_in, classes)
    )
    model = Staged([*(nn.Sequential(*group) for group in groups), head])
    he_fan_out(model)
    return model
