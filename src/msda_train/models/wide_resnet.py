"""Wide residual networks, WRN-depth-width, in the common form, in Manifold Mixup's and in openmixup's.

Zagoruyko & Komodakis, BMVC 2016, arXiv:1605.07146. A 16-channel stem, three groups of (depth - 4) / 6
blocks with 16k, 32k, 64k channels, final BatchNorm and ReLU, average pooling, linear.
- `standard`: no biases, He initialisation (fan out), stride on a block's first convolution, a projection
  acts on the activated input; `dropout` between the convolutions.
- `manifold` (vikasverma1077/manifold_mixup, also Puzzle Mix): biases, PyTorch's own initialisation, stride on
  the *second* 3x3 convolution, projection of the raw input, final BatchNorm momentum 0.9. Their files define
  another initialisation, Xavier-uniform with gain sqrt(2), that no line of theirs calls: `init=xavier`.
- hysts/pytorch_image_classification (models/wrn.py) is `standard` with another start, `init=hysts`: He normal
  by fan in, every BatchNorm's scale uniform in (0, 1), a classifier without bias.
- `openmixup` (Westlake-AI/openmixup, MixMatch's network): biases, leaky ReLU of slope 0.1, every BatchNorm of
  eps and momentum 0.001, He initialisation; a projection acts on the activated input in the first group, on
  the raw one in the others. The classifier starts as in resnet.py's `init=openmixup`.
Depths for mixing: 0 pixels, 1 to 3 after each group (the authors' code); with `first_mix=block` depth 1
lies after the first residual block instead (the paper's appendix) and the groups follow at 2, 3, 4.
"""

import math
from functools import partial

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.regulariser import Regulariser, branch_end
from msda_train.models.staged import GlobalMean, Staged, he_fan_out, openmixup_start

NORMS = {  # eps and momentum of BatchNorm
    "standard": (1e-5, 0.1),
    "manifold": (1e-5, 0.1),
    "openmixup": (1e-3, 1e-3),
}


def _activation(variant: str) -> nn.Module:
    return nn.LeakyReLU(0.1) if variant == "openmixup" else nn.ReLU()


class WideBlock(nn.Module):
    """BN-ReLU-conv-[dropout]-BN-ReLU-conv with a shortcut."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        *,
        variant: str,
        raw_projection: bool,
        dropout: float,
        end: nn.Module,
    ):
        super().__init__()
        strides = (1, stride) if variant == "manifold" else (stride, 1)
        conv, (eps, momentum) = partial(nn.Conv2d, bias=variant != "standard"), NORMS[variant]
        norm = partial(nn.BatchNorm2d, eps=eps, momentum=momentum)
        self.bn1 = norm(channels_in)
        self.conv1 = conv(channels_in, channels, 3, strides[0], padding=1)
        self.bn2 = norm(channels)
        self.conv2 = conv(channels, channels, 3, strides[1], padding=1)
        self.relu = _activation(variant)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.end = end
        self.raw_projection = raw_projection
        self.projection: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.projection = conv(channels_in, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride)."""
        h = self.relu(self.bn1(x))
        shortcut = x
        if self.projection is not None:
            shortcut = self.projection(x if self.raw_projection else h)
        h = self.dropout(self.conv1(h))
        out: Tensor = self.end(self.conv2(self.relu(self.bn2(h)))) + shortcut
        return out


def _xavier(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight, gain=math.sqrt(2))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _hysts(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def _start(model: nn.Module, variant: str, init: str | None) -> None:
    if init is not None:
        {"xavier": _xavier, "hysts": _hysts}[init](model)
    elif variant != "manifold":
        he_fan_out(model)
    if variant == "openmixup":
        openmixup_start(model)


def wide_resnet(
    depth: int,
    width: int,
    variant: str,
    dropout: float,
    first_mix: str,
    stem_stride: int,
    *,
    classes: int,
    channels: int,
    regulariser: Regulariser | None = None,
    init: str | None = None,
) -> Staged:
    """WRN-`depth`-`width` for images of `channels` channels; raises UserError unless depth is 6n + 4."""
    checks.one_of("model.variant", variant, tuple(NORMS))
    if init is not None:
        checks.one_of("model.init", init, ("xavier", "hysts"))
    checks.one_of("model.first_mix", first_mix, ("group", "block"))
    checks.whole("model.depth", depth, least=10)
    checks.whole("model.width", width, least=1)
    checks.whole("model.stem_stride", stem_stride, least=1)
    checks.fraction("model.dropout", dropout)
    blocks, rest = divmod(depth - 4, 6)
    if rest:
        raise UserError(f"model.depth={depth}: a WRN's depth is 6n + 4; type model.depth={6 * blocks + 4}")
    manifold = variant == "manifold"
    stem = nn.Conv2d(channels, 16, 3, stem_stride, padding=1, bias=variant != "standard")
    groups, channels_in = [], 16
    for group in range(3):
        layers = []
        for i in range(blocks):
            stride = 2 if group > 0 and i == 0 else 1
            layers.append(
                WideBlock(
                    channels_in,
                    16 * width * 2**group,
                    stride,
                    variant=variant,
                    raw_projection=manifold or (variant == "openmixup" and group > 0),
                    dropout=dropout,
                    end=branch_end(regulariser, group * blocks + i + 1, 3 * blocks),
                )
            )
            channels_in = 16 * width * 2**group
        groups.append(nn.Sequential(*layers))
    if first_mix == "block":
        first, *others = groups[0]
        stages = [nn.Sequential(stem, first), nn.Sequential(*others), *groups[1:]]
    else:
        stages = [nn.Sequential(stem, *groups[0]), *groups[1:]]
    final = nn.BatchNorm2d(channels_in, NORMS[variant][0], 0.9 if manifold else NORMS[variant][1])
    head = nn.Sequential(final, _activation(variant), GlobalMean(), nn.Linear(channels_in, classes))
    model = Staged([*stages, head])
    _start(model, variant, init)
    return model
