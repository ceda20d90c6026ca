"""DenseNet-BC: every layer sees the features of all layers before it in its block.

Huang et al., CVPR 2017, arXiv:1608.06993; code: facebookresearch/mixup-cifar10 models/densenet3.py (mixup's
Figure 3: depth 190, growth 40). A stem of 2 x growth channels, three dense blocks of (depth - 4) / 6 layers
BN-ReLU-conv1x1(4 x growth)-BN-ReLU-conv3x3(growth), between them BN-ReLU-conv1x1(to the share
`compression`)-average pooling 2x2, at the end BatchNorm, ReLU, average pooling, linear. No dropout.
Convolutions start as He normal (fan out), BatchNorms as 1 and 0, the classifier's bias as 0.
`checkpointing` saves memory as Pleiss et al., arXiv:1707.06990, do: what grows with depth (the joined
features, the first BatchNorm, ReLU and 1x1 convolution) is computed again in the backward pass. It changes no
number: BatchNorm counts a batch once.
Depths for mixing: 0 pixels, 1 to 3 after each dense block, before the transition.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from msda_train import checks
from msda_train.errors import UserError
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

BLOCKS = 3


@contextmanager
def statistics_held(norm: nn.BatchNorm2d) -> Iterator[None]:
    """Inside, `norm` normalises by the batch as in training, but its running statistics stay."""
    momentum, count = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, count


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

    def squeeze(self, *features: Tensor) -> Tensor:
        """n tensors (B, C_i, H, W) -> (B, 4 * growth, H, W)."""
        h: Tensor = self.conv1(self.relu(self.bn1(torch.cat(features, dim=1))))
        return h

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Around the first computation of `squeeze` and around the second."""
        return nullcontext(), statistics_held(self.bn1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """n tensors (B, C_i, H, W) -> (B, growth, H, W)."""
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            h = self.squeeze(*features)
        elif torch.compiler.is_compiling():
            # The compiler computes again only what the backward pass reads, never an update of a buffer.
            h = checkpoint(self.squeeze, *features, use_reentrant=False)
        else:
            h = checkpoint(
                self.squeeze,
                *features,
                use_reentrant=False,
                preserve_rng_state=False,  # nothing here draws
                context_fn=self.contexts,
            )
        new: Tensor = self.conv2(self.relu(self.bn2(h)))
        return new


class DenseBlock(nn.Module):
    """`count` layers one after another; ends with everything joined."""

    def __init__(self, channels_in: int, count: int, growth: int, *, checkpointing: bool):
        super().__init__()
        self.layers = nn.ModuleList(
            DenseLayer(channels_in + i * growth, growth, checkpointing=checkpointing) for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + count * growth, H, W)."""
        features = [x]
        for layer in self.layers:
            features.append(layer(features))
        return torch.cat(features, dim=1)


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
