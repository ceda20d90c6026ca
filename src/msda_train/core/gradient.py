"""What stops gradients in a network: a place that shall, and a cast that must not."""

from typing import Any

import torch
from torch import Tensor


class _Zeroed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


def zeroed(h: Tensor) -> Tensor:
    """`h` (any shape), to whose past the gradient is zero: a number, not absent, so that an optimizer treats
    what lies before alike however it is run: momentum and weight decay go on."""
    out: Tensor = _Zeroed.apply(h)
    return out


def in_type(values: Tensor, dtype: torch.dtype) -> Tensor:
    """`values` in that type, for the end of a Function's forward. Where nothing is to be done, nothing is
    called: of a `to` that changes nothing torch 2.11's compiler makes a gradient of zeros, without a word."""
    return values if values.dtype == dtype else values.to(dtype)
