"""Networks no larger than this machine: told by the first weights too many, before they are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from msda_train.core.errors import UserError
from msda_train.core.machine import memory

COPIES = 3  # the weights, their gradients, their momentum
MOST_TENSORS = 20_000  # of weights; ResNet-1202 has 3,600


@contextmanager
def bounded(name: str) -> Iterator[None]:
    """Whatever network is built inside: UserError naming `name`.* as soon as training it would need more
    memory than there is, or weights in more tensors than any network has."""
    most, total, tensors = memory(), 0, 0

    def count(module: nn.Module, key: str, parameter: nn.Parameter) -> None:
        nonlocal total, tensors
        total += COPIES * parameter.nbytes
        tensors += 1
        if total > most:
            raise UserError(
                f"{name}: these options make a network whose weights, gradients and momentum need more than "
                f"{total / 1e9:,.0f} GB, and this machine has {most / 1e9:,.0f}; type a smaller one"
            )
        if tensors > MOST_TENSORS:
            raise UserError(f"{name}: more than {MOST_TENSORS:,} tensors of weights; type fewer blocks")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
