"""The linear layer in which most networks end, and what a layer is given."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def last_linear(network: nn.Module) -> nn.Linear | None:
    """The last linear layer of `network`, in the order in which they were built; None where it has none."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


@contextmanager
def given_to(layer: nn.Module) -> Iterator[list[Tensor]]:
    """A list of what each forward pass inside gives to `layer`, its first input."""
    given: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        yield given
    finally:
        hook.remove()
