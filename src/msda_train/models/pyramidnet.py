"""PyramidNet with bottlenecks: a residual network whose width grows a little in every block.

Han, Kim & Kim, CVPR 2017, arXiv:1610.02915; code: dyhan0920/PyramidNet-PyTorch PyramidNet.py and
clovaai/CutMix-PyTorch pyramidnet.py (CutMix's tables: depth 200 with alpha 240, depth 110 with alpha 64).
A 16-channel stem with BatchNorm and no ReLU, three groups of (depth - 2) / 9 blocks with strides 1, 2, 2,
final BatchNorm and ReLU, average pooling, linear. Block i of N has the width round(16 + i * alpha / N) and
four times as many channels at its end. Its branch is BN-conv1x1-BN-ReLU-conv3x3-BN-ReLU-conv1x1-BN: no ReLU
at the start, a BatchNorm at the end. The shortcut has no weights: 2x2 average pooling where the map shrinks,
and zeros for the channels that are missing, which is in every block.
Convolutions start as He normal (fan out), BatchNorms as 1 and 0, the classifier as torch has it.
Depths for mixing: 0 pixels, 1 to 3 after each group.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from msda_train import checks
from msda_train.errors import UserError
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

EXPANSION = 4


class PyramidBlock(nn.Module):
    """Bottleneck of `width` channels; the shortcut is padded with zero channels."""

    def __init__(self, channels_in: int, width: int, stride: int, *, end: nn.Module):
        super().__init__()
        channels = width * EXPANSION
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.end = end
        # As wide as the strided convolution's output where the side is odd.
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride > 1 else nn.Identity()
        self.missing = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride), the side rounded up."""
        h = self.conv1(self.bn1(x))
        h = self.conv2(self.relu(self.bn2(h)))
        h = self.bn4(self.conv3(self.relu(self.bn3(h))))
        shortcut: Tensor = self.pool(x)
        return self.end(h) + F.pad(shortcut, (0, 0, 0, 0, 0, self.missing))


def pyramidnet(
    depth: int,
    alpha: float,
    width: int,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """PyramidNet-`depth` that widens by `alpha` from a stem of `width` channels (16); raises UserError unless
    depth is 9n + 2."""
    checks.whole("model.depth", depth, least=11)
    checks.positive("model.alpha", alpha)
    checks.whole("model.width", width, least=1)
    blocks, rest = divmod(depth - 2, 9)
    if rest:
        raise UserError(
            f"model.depth={depth}: a PyramidNet's depth is 9n + 2; type model.depth={9 * blocks + 2}"
        )
    total = 3 * blocks
    groups: list[list[nn.Module]] = [
        [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)],
        [],
        [],
    ]
    channels_in = width
    for i in range(total):
        stride = 2 if i in (blocks, 2 * blocks) else 1
        wide = round(width + (i + 1) * alpha / total)
        end = branch_end(regulariser, i + 1, total)
        groups[i // blocks].append(PyramidBlock(channels_in, wide, stride, end=end))
        channels_in = wide * EXPANSION
    head = nn.Sequential(
        nn.BatchNorm2d(channels_in), nn.ReLU(), GlobalMean(), nn.Linear(channels_in, classes)
    )
    model = Staged([*(nn.Sequential(*group) for group in groups), head])
    he_fan_out(model)
    return model
