"""PreActResNet for small images, in the three variants behind the published numbers.

He et al., ECCV 2016, arXiv:1603.05027, as the mixing papers use it: a 3x3 stem, four groups of basic blocks
with strides 1, 2, 2, 2 and widths 64 to 512, no final BatchNorm or ReLU, average pooling, linear.
- `manifold` (vikasverma1077/manifold_mixup, hongyi-zhang/mixup, snu-mllab/PuzzleMix): bare stem
  convolution; the shortcut adds the raw input where the shape stays.
- `mixup` (facebookresearch/mixup-cifar10's ResNet18): stem with BatchNorm and ReLU; the shortcut always
  starts from the activated input.
- `hysts` (hysts/pytorch_image_classification models/resnet_preact.py at its defaults: block_type basic, first
  ReLU kept, no last BatchNorm in a block, preact_stage true for all): ResNet-preact-20 is three groups of
  three blocks of widths 16, 32, 64. Bare stem; the shortcut of each group's first block starts from the
  activated input, also where it is the identity, all others add the raw input; BatchNorm and ReLU at the
  end. Convolutions start as He normal (fan out), the classifier without a bias.
`dropout` lies between the convolutions of a block, for the memorisation grid of mixup's Table 2.
Depths for mixing: 0 pixels, 1 to 4 after each group.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, check_blocks, he_fan_out


class PreActBlock(nn.Module):
    """BN-ReLU-conv-[dropout]-BN-ReLU-conv; a projection, where the shape changes, acts on the activated
    input."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        *,
        activated_shortcut: bool,
        dropout: float,
        end: nn.Module,
    ):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.end = end
        self.activated_shortcut = activated_shortcut
        self.projection: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride)."""
        h = self.relu(self.bn1(x))
        shortcut = h if self.activated_shortcut else x
        if self.projection is not None:
            shortcut = self.projection(h)
        h = self.dropout(self.conv1(h))
        out: Tensor = self.end(self.conv2(self.relu(self.bn2(h)))) + shortcut
        return out


def preactresnet(
    blocks: Sequence[int],
    width: int,
    variant: str,
    stem_stride: int,
    dropout: float = 0.0,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
) -> Staged:
    """PreActResNet-18 is blocks [2, 2, 2, 2], -34 is [3, 4, 6, 3]; `width` channels in the first group
    (64)."""
    checks.one_of("model.variant", variant, ("manifold", "mixup", "hysts"))
    checks.whole("model.width", width, least=1)
    checks.whole("model.stem_stride", stem_stride, least=1)
    checks.fraction("model.dropout", dropout)
    check_blocks(blocks, "[2,2,2,2]")
    as_mixup = variant == "mixup"
    stem: list[nn.Module] = [nn.Conv2d(channels, width, 3, stem_stride, padding=1, bias=False)]
    if as_mixup:
        stem += [nn.BatchNorm2d(width), nn.ReLU()]
    stages, channels_in = [], width
    for group, count in enumerate(blocks):
        layers = []
        for i in range(count):
            stride = 2 if group > 0 and i == 0 else 1
            layers.append(
                PreActBlock(
                    channels_in,
                    width * 2**group,
                    stride,
                    activated_shortcut=as_mixup or (variant == "hysts" and i == 0),
                    dropout=dropout,
                    end=branch_end(regulariser, sum(blocks[:group]) + i + 1, sum(blocks)),
                )
            )
            channels_in = width * 2**group
        stages.append(nn.Sequential(*layers))
    stages[0] = nn.Sequential(*stem, *stages[0])
    classifier = nn.Linear(channels_in, classes)
    if variant != "hysts":
        return Staged([*stages, nn.Sequential(GlobalMean(), classifier)])
    nn.init.zeros_(classifier.bias)
    head = nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(), GlobalMean(), classifier)
    model = Staged([*stages, head])
    he_fan_out(model)
    return model
