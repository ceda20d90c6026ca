"""The features of a dense block in one buffer: a layer reads the first channels of it and appends its own.

Joining with torch.cat writes all earlier features again in every layer, and keeps that copy of them for the
backward pass. Here each feature is written once, and what a layer keeps of its input is a view of the buffer.
Two things make that possible:

- The buffer is filled behind autograd's back (`Append`): what is saved for the backward pass is never written
  again, only channels behind it, but autograd counts versions of the whole memory.
- BatchNorm's kernels want memory without gaps; a view of some channels in NHWC memory has gaps, so they would
  copy it (cuDNN) or fall back to a slow kernel. A channel's batch statistics, however, are the same for every
  layer that reads it: they are taken once, when it is appended, and BatchNorm and ReLU of a view are
  max(x * scale + shift, 0), elementwise (`NormReLU`). Gradients reach the statistics through scale and shift.

Results equal those of concatenation and torch's BatchNorm up to rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BATCH_AND_PIXELS = (0, 2, 3)


def _per_channel(v: Tensor) -> Tensor:
    return v.view(1, -1, 1, 1)


class Append(torch.autograd.Function):
    """(B, c, H, W), the first c channels of a buffer, and (B, g, H, W) -> its first c + g channels, and batch
    mean and variance (g,) of the new ones, at least float32; both empty if not `training`."""

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, new: Tensor, buffer: Tensor, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Copies `new` behind `first`, see the class for shapes. `.data` has a version counter of its own."""
        memory, start = buffer.data, first.shape[1]
        end = start + new.shape[1]
        own = memory[:, start:end].copy_(new)
        mean = var = torch.empty(0, device=new.device)
        if training:
            wide = new.to(torch.promote_types(new.dtype, torch.float32))
            mean = wide.mean(BATCH_AND_PIXELS)
            var = (wide - _per_channel(mean)).square_().mean(BATCH_AND_PIXELS)
        ctx.save_for_backward(own, mean)
        ctx.set_materialize_grads(False)
        return memory[:, :end], mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Views of the gradient of the features; what comes through the statistics is added."""
        own, mean = ctx.saved_tensors
        grad, by_mean, by_var = grads
        g, n = own.shape[1], own.numel() // own.shape[1]
        first, new = grad[:, :-g], grad[:, -g:]
        if by_mean is not None:
            centred = own.to(mean.dtype) - _per_channel(mean)
            more = centred.mul_(_per_channel(by_var * (2 / n))).add_(_per_channel(by_mean / n))
            new = new + more.to(new.dtype)
        return first, new, None, None


class NormReLU(torch.autograd.Function):
    """max(x * scale + shift, 0) of a view x (B, c, H, W) with gaps; scale and shift (c,) float32. The result
    is dense and of x's type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """One pass over x, whatever its type. Keeps the view and the result, which the convolution keeps
        anyway."""
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        torch.addcmul(_per_channel(shift), x, _per_channel(scale), out=out).relu_()
        ctx.save_for_backward(x, scale, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With respect to x (B, c, H, W), scale and shift (c,); sums are float32."""
        x, scale, out = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grads[0], out, 0)
        by_scale = (grad * x).sum(BATCH_AND_PIXELS, dtype=scale.dtype)
        by_shift = grad.sum(BATCH_AND_PIXELS, dtype=scale.dtype)
        return grad.mul_(_per_channel(scale)), by_scale, by_shift


def norm_relu(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """See `NormReLU`."""
    out: Tensor = NormReLU.apply(x, scale, shift)
    return out


class Features:
    """What a dense block has computed so far: `first` (B, c, H, W), and batch mean and variance (c,) of its
    channels where `training`."""

    def __init__(self, x: Tensor, channels: int, *, training: bool):
        batch, _, height, width = x.shape
        shape = (batch, channels, height, width)
        self.buffer = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        self.training = training
        self.first = self.buffer[:, :0]
        self.mean = self.var = torch.empty(0, device=x.device)  # of nothing
        self.append(x)

    def append(self, new: Tensor) -> None:
        """Takes in g channels (B, g, H, W)."""
        self.first, mean, var = Append.apply(self.first, new, self.buffer, self.training)
        self.mean, self.var = torch.cat([self.mean, mean]), torch.cat([self.var, var])

    def scale_and_shift(self, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Scale and shift (c,) of what `norm` does to the channels so far; in training its running statistics
        move on."""
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        if self.training:
            self._count(norm)
            mean, var = self.mean, self.var
        scale = norm.weight * torch.rsqrt(var + norm.eps)
        return scale, norm.bias - mean * scale

    @torch.no_grad()
    def _count(self, norm: nn.BatchNorm2d) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        n = self.first.numel() // self.first.shape[1]
        norm.running_mean.lerp_(self.mean, norm.momentum)
        norm.running_var.lerp_(self.var * (n / max(n - 1, 1)), norm.momentum)  # unbiased, as torch keeps it
        norm.num_batches_tracked.add_(1)
