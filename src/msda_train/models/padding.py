"""Channels filled up with zeros to a multiple of 8, as the tensor cores of GPUs want them in NHWC memory.

No number changes: a channel of zeros has zero weights on both sides, and BatchNorm gives it scale and shift
0, so it stays 0 forward and its gradient is 0 backward. Weights are filled up inside the forward pass, not
kept filled up: parameters, their count and first values, the optimizer's state and checkpoints are what they
are without it, and may be read with another multiple. The price is a copy of each weight per step
(PyramidNet-200: 0.1 GB, its features take some 10 GB) and, where nothing is compiled, more small kernels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def widened(h: Tensor, missing: int) -> Tensor:
    """(B, C, H, W) -> (B, C + missing, H, W), zeros behind; `h` itself where nothing is missing."""
    return F.pad(h, (0, 0, 0, 0, 0, missing)) if missing else h


def narrowed(h: Tensor, channels: int) -> Tensor:
    """(B, C', H, W) -> its first `channels`, a view; `h` itself where it has no more."""
    return h if h.shape[1] == channels else h[:, :channels]


class PaddedConv2d(nn.Conv2d):
    """A k x k convolution without bias or change of side but by `stride`, between channels that are filled up
    to multiples of `multiple` (1: as they are)."""

    def __init__(self, channels_in: int, channels: int, k: int, stride: int = 1, *, multiple: int):
        super().__init__(channels_in, channels, k, stride, padding=k // 2, bias=False)
        self.multiple = multiple

    def forward(self, h: Tensor) -> Tensor:
        """(B, C_in or more, H, W) -> (B, C_out or more, H', W')."""
        h = widened(h, -h.shape[1] % self.multiple)
        more_in, more_out = h.shape[1] - self.in_channels, -self.out_channels % self.multiple
        if not more_in and not more_out:
            return super().forward(h)
        weight = F.pad(self.weight, (0, 0, 0, 0, 0, more_in, 0, more_out))
        return F.conv2d(h, weight, None, self.stride, self.padding)


class PaddedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm of the channels it has; those behind are zeros and stay zeros."""

    def forward(self, h: Tensor) -> Tensor:
        """(B, C or more, H, W) -> the same shape."""
        more = h.shape[1] - self.num_features
        if not more:
            return super().forward(h)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        mean, var, weight, bias = (
            F.pad(v, (0, more)) for v in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        out = F.batch_norm(h, mean, var, weight, bias, self.training, self.momentum, self.eps)
        if self.training and self.track_running_stats:
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
            with torch.no_grad():
                self.running_mean.copy_(mean[:-more])
                self.running_var.copy_(var[:-more])
        return out


class Narrow(nn.Module):
    """The end of a stage: what is between stages, mixed there or looked at, has its own channels only."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, h: Tensor) -> Tensor:
        """(B, C', H, W) -> (B, channels, H, W), dense: a BatchNorm of a view with gaps is slow."""
        return narrowed(h, self.channels).contiguous(memory_format=torch.channels_last)
