"""How large the maps are that enter the layers of a network: what a box at a depth has to fit."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Sizes = list[tuple[int, int] | None]


def map_sizes(network: nn.Module, layers: Sequence[nn.Module], x: Tensor) -> Sizes:
    """(height, width) of what first enters each of `layers` while `network` passes images x (B, C, H, W);
    None where that is no map (B, C', H', W'), or nothing enters.

    One image passes in evaluation mode and without gradients, so no statistic moves and nothing is drawn;
    afterwards every module is in the mode that it was in.
    """
    found: Sizes = [None] * len(layers)
    seen: set[int] = set()

    def look(number: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = args[0] if args else next(iter(kwargs.values()), None)
        if number not in seen and isinstance(first, Tensor) and first.ndim == 4:
            found[number] = (first.shape[2], first.shape[3])
        seen.add(number)

    modes = [(module, module.training) for module in network.modules()]
    hooks = [
        layer.register_forward_pre_hook(partial(look, number), with_kwargs=True)
        for number, layer in enumerate(layers)
    ]
    try:
        network.eval()
        with torch.no_grad():
            network(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return found
