"""Residual networks with ReLU after the sum, for small images.

He et al., CVPR 2016, arXiv:1512.03385. A 3x3 stem with BatchNorm and ReLU, groups of blocks whose width
doubles and whose map halves, average pooling, linear; a 1x1 convolution with BatchNorm is the shortcut where
the shape changes. A bottleneck's stride lies on its 3x3 convolution.
- ResNet-110 (clovaai/CutMix-PyTorch resnet.py): 3 x 12 bottlenecks of widths 16, 32, 64 and four times as
  many channels at the end; He normal initialisation (fan out), BatchNorms 1 and 0: `init=he`.
- ResNet-18 (the one of pytorch-cifar, in Cutout's and SaliencyMix's rows): 4 x 2 basic blocks of widths 64 to
  512; torch's own initialisation: `init=torch`.
- ResNeXt-50 32x4d (Xie et al., CVPR 2017, arXiv:1611.05431; ResNeXt_CIFAR of Westlake-AI/openmixup):
  ResNet-50's bottlenecks, with `cardinality` groups in the 3x3 convolution.
`init=openmixup` is that program's own: He normal (fan out), a block's last BatchNorm 0, the classifier
normal of deviation 0.01 without bias. A later version of it starts like this only beside pre-trained weights
and leaves torch's otherwise; which one made the published numbers is not stated.
Depths for mixing: 0 pixels, then after each group.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, check_blocks, he_fan_out, openmixup_start

EXPANSION = {"basic": 1, "bottleneck": 4}


def _conv(channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class ResBlock(nn.Module):
    """ReLU(branch + shortcut), a basic or a bottleneck one."""

    def __init__(
        self,
        channels_in: int,
        width: int,
        stride: int,
        *,
        block: str,
        end: nn.Module,
        inner: int | None = None,
        groups: int = 1,
    ):
        """inner: channels of a bottleneck's 3x3 convolution, in `groups`, where they are not `width`."""
        super().__init__()
        channels, inner = width * EXPANSION[block], inner or width
        if block == "basic":
            layers = [*_conv(channels_in, width, 3, stride), nn.ReLU(), *_conv(width, width, 3)]
        else:
            layers = [*_conv(channels_in, inner, 1), nn.ReLU()]
            layers += [*_conv(inner, inner, 3, stride, groups), nn.ReLU(), *_conv(inner, channels, 1)]
        self.branch = nn.Sequential(*layers)
        self.end = end
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(*_conv(channels_in, channels, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride)."""
        out: Tensor = self.relu(self.end(self.branch(x)) + self.shortcut(x))
        return out


def resnet(
    blocks: Sequence[int],
    width: int,
    block: str,
    init: str,
    stem_stride: int,
    cardinality: Sequence[int] | None = None,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """A ResNet of len(blocks) groups, the first of `width` channels; see the head for the published ones.
    cardinality: ResNeXt's (groups, channels of each where `width` is 64), (32, 4) for 32x4d."""
    check_blocks(blocks, "[2,2,2,2]")
    checks.whole("model.width", width, least=1)
    checks.one_of("model.block", block, tuple(EXPANSION))
    checks.one_of("model.init", init, ("he", "torch", "openmixup"))
    checks.whole("model.stem_stride", stem_stride, least=1)
    groups, share = _check_cardinality(cardinality, block)
    stages, channels_in = [], width
    for group, count in enumerate(blocks):
        layers: list[nn.Module] = []
        for i in range(count):
            stride = 2 if group > 0 and i == 0 else 1
            end = branch_end(regulariser, sum(blocks[:group]) + i + 1, sum(blocks))
            wide = width * 2**group
            inner = max(wide * share // 64, 1) * groups
            layers.append(
                ResBlock(channels_in, wide, stride, block=block, end=end, inner=inner, groups=groups)
            )
            channels_in = width * 2**group * EXPANSION[block]
        stages.append(nn.Sequential(*layers))
    stages[0] = nn.Sequential(*_conv(channels, width, 3, stem_stride), nn.ReLU(), *stages[0])
    model = Staged([*stages, nn.Sequential(GlobalMean(), nn.Linear(channels_in, classes))])
    if init != "torch":
        he_fan_out(model)
    if init == "openmixup":
        openmixup_start(model)
        for module in model.modules():
            if isinstance(module, ResBlock):
                nn.init.zeros_(module.branch[-1].weight)  # type: ignore[arg-type]
    return model


def _check_cardinality(cardinality: Sequence[int] | None, block: str) -> tuple[int, int]:
    """(groups, channels of each); a plain bottleneck is one of 64."""
    if cardinality is None:
        return 1, 64
    if isinstance(cardinality, str | int) or len(cardinality) != 2:
        raise UserError(f"model.cardinality={cardinality}: two numbers; type model.cardinality=[32,4]")
    if block != "bottleneck":
        raise UserError("model.cardinality: is of bottlenecks; type model.block=bottleneck, too")
    for count in cardinality:
        checks.whole("model.cardinality", count, least=1)
    return cardinality[0], cardinality[1]
