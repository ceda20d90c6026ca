"""A place in a network that gradients do not pass."""

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
