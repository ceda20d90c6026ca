"""DenseNet-BC: every layer sees the features of all layers before it in its block.

Huang et al., CVPR 2017, arXiv:1608.06993; code: facebookresearch/mixup-cifar10 models/densenet3.py (mixup's
Figure 3: depth 190, growth 40). A stem of 2 x growth channels, three dense blocks of (depth - 4) / 6 layers
BN-ReLU-conv1x1(4 x growth)-BN-ReLU-conv3x3(growth), between them BN-ReLU-conv1x1(to the share
`compression`)-average pooling 2x2, at the end BatchNorm, ReLU, average pooling, linear. No dropout.
Convolutions start as He normal (fan out), BatchNorms as 1 and 0, the classifier's bias as 0.
A block's features lie in one buffer (features.py); a compiled network concatenates them.
`checkpointing` saves memory as Pleiss et al., arXiv:1707.06990, do: what grows with depth (the first
BatchNorm, ReLU and 1x1 convolution of all features so far) is computed again in the backward pass. It changes
no number: statistics are taken, and BatchNorm counts a batch, once.
Depths for mixing: 0 pixels, 1 to 3 after each dense block, before the transition.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.features import Features, norm_relu
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

BLOCKS = 3


class DenseLayer(nn.Module):
    """`growth` new features out of all features so far."""

    def __init__(self, channels_in: int, growth: int, *, checkpointing: bool):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.checkpointing = checkpointing

    @property
    def usual(self) -> bool:
        """Whether BatchNorm is torch's own. One that looks at parts of a batch, or at other processes' images
        (`models.batchnorm.changed`), takes its statistics itself, once."""
        return type(self.bn1) is nn.BatchNorm2d

    def _growing(self, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`work`, whose cost grows with depth, now and, to save memory, again in the backward pass."""
        if not (self.checkpointing and self.usual and self.training and torch.is_grad_enabled()):
            return work(*inputs)
        h: Tensor = checkpoint(work, *inputs, use_reentrant=False, preserve_rng_state=False)  # nothing draws
        return h

    def append_to(self, features: Features) -> None:
        """Appends (B, growth, H, W) to the features of the block."""

        def squeeze(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
            h: Tensor = self.conv1(norm_relu(x, scale, shift))
            return h

        h = self._growing(squeeze, features.first, *features.scale_and_shift(self.bn1))
        features.append(self.conv2(self.relu(self.bn2(h))))

    def forward(self, *features: Tensor) -> Tensor:
        """The same by concatenation, for a compiler: n tensors (B, C_i, H, W) -> (B, growth, H, W). It
        computes again only what the backward pass reads, so that BatchNorm counts a batch once."""

        def squeeze(*features: Tensor) -> Tensor:
            h: Tensor = self.conv1(self.relu(self.bn1(torch.cat(features, dim=1))))
            return h

        new: Tensor = self.conv2(self.relu(self.bn2(self._growing(squeeze, *features))))
        return new


class DenseBlock(nn.Module):
    """`count` layers one after another; ends with everything joined."""

    def __init__(self, channels_in: int, count: int, growth: int, *, checkpointing: bool):
        super().__init__()
        self.channels = channels_in + count * growth
        self.layers = nn.ModuleList(
            DenseLayer(channels_in + i * growth, growth, checkpointing=checkpointing) for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + count * growth, H, W)."""
        usual = all(isinstance(layer, DenseLayer) and layer.usual for layer in self.layers)
        if torch.compiler.is_compiling() or not usual:  # it fuses what it joins, and cannot follow a buffer
            joined = [x]
            for layer in self.layers:
                joined.append(layer(*joined))
            return torch.cat(joined, dim=1)
        features = Features(x, self.channels, training=self.training)
        for layer in self.layers:
            assert isinstance(layer, DenseLayer)
            layer.append_to(features)
        return features.first


def _transition(channels_in: int, compression: float) -> tuple[list[nn.Module], int]:
    """Layers that halve the map, and how many channels they leave."""
    channels = max(1, math.floor(channels_in * compression))
    conv = nn.Conv2d(channels_in, channels, 1, bias=False)
    return [nn.BatchNorm2d(channels_in), nn.ReLU(), conv, nn.AvgPool2d(2)], channels


def densenet(
    depth: int, growth: int, compression: float, checkpointing: bool, *, classes: int, channels: int
) -> Staged:
    """DenseNet-BC-`depth`-`growth`; raises UserError unless depth is 6n + 4."""
    checks.whole("model.depth", depth, least=10)
    checks.whole("model.growth", growth, least=1)
    checks.fraction("model.compression", compression)
    checks.flag("model.checkpointing", checkpointing)
    count, rest = divmod(depth - 4, 6)
    if rest:
        raise UserError(
            f"model.depth={depth}: a DenseNet-BC's depth is 6n + 4; type model.depth={6 * count + 4}"
        )
    stages: list[nn.Module] = []
    width = 2 * growth
    before: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    for i in range(BLOCKS):
        if i > 0:
            before, width = _transition(width, compression)
        stages.append(nn.Sequential(*before, DenseBlock(width, count, growth, checkpointing=checkpointing)))
        width += count * growth
    classifier = nn.Linear(width, classes)
    head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), GlobalMean(), classifier)
    model = Staged([*stages, head], least_side=2 ** (BLOCKS - 1))
    he_fan_out(model)
    nn.init.zeros_(classifier.bias)
    return model
