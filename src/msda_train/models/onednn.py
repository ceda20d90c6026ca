"""Strided 1x1 convolutions of few channels on a CPU: the way past a fault of oneDNN.

The weight gradient of a 1x1 convolution with a stride, of channels_last images with fewer channels than
oneDNN's block (8 with AVX2, 16 with AVX-512), is written beyond its workspace (uxlfoundation/oneDNN#6035):
wrong numbers, a dead process or, by luck, nothing, depending on threads, batch and map. Taking every
stride-th pixel first, then convolving with stride 1, is the same function and never enters that code.
Elsewhere nothing changes. Where the fault did not strike, float32 on one thread keeps its bits for batches of
more than 8 images of more than 1 channel.
`msda-check machine` compares what comes out with float64.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from msda_train.core.errors import UserError

BLOCK = 16  # channels; oneDNN's largest


def struck(x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int] | str) -> bool:
    """Whether the weight gradient of this convolution, x (B, C, H, W), weight (C', C / groups, k, k), may be
    wrong."""
    return (
        x.device.type == "cpu"
        and weight.shape[1] == x.shape[-3] < BLOCK
        and all(side == 1 for side in weight.shape[2:])
        and any(step > 1 for step in stride)
        and (padding == "valid" or not any(padding))
        and all(side % step == 0 for side, step in zip(x.shape[-2:], stride, strict=True))
    )


class Thinned(nn.Conv2d):
    """nn.Conv2d that leaves out the pixels between its strides itself, where the fault would strike."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        if not struck(x, self.weight, self.stride, self.padding):
            return super().forward(x)
        # A mean over one pixel is that pixel; unlike slicing, it keeps channels_last on the way back.
        return F.conv2d(F.avg_pool2d(x, 1, self.stride), self.weight, self.bias)


def avoid_fault(network: nn.Module) -> nn.Module:
    """`network`, whose strided 1x1 convolutions of few channels are `Thinned` from now on: the same
    parameters, the same state."""
    for module in network.modules():
        if type(module) is nn.Conv2d and set(module.kernel_size) == {1} and module.in_channels < BLOCK:
            module.__class__ = Thinned
    return network


class Watch(TorchDispatchMode):
    """UserError for a convolution that the fault would strike and that is no nn.Conv2d of its own."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            x, weight, _, stride, padding, _, transposed, *_ = args
            if not transposed and x.dim() == 4 and struck(x, weight, stride, padding):
                step = max(stride)
                raise UserError(
                    f"model: a 1x1 convolution of {x.shape[1]} channels with stride {step}, which is no "
                    "torch.nn.Conv2d, would get wrong gradients on a CPU (oneDNN#6035); make it one, or put "
                    f"torch.nn.AvgPool2d(1, {step}) before it and leave out its stride"
                )
        return func(*args, **(kwargs or {}))
