"""A network as built on the CPU becomes one that is trained."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.models.onednn import Watch, avoid_fault
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team
from msda_train.training.divided_layers import divide
from msda_train.training.recipe import Recipe
from msda_train.training.update import Replay, Update

VARIANTS = 64  # that one network may be compiled for: shapes, depths of mixing, training and testing


def fit(network: nn.Module, channels: int, height: int, width: int, compute: Compute) -> None:
    """Makes any `network` safe from oneDNN's fault; UserError where that cannot be done, or where it cannot
    take images of this size. One black image in evaluation mode: nothing is drawn and no statistic moves."""
    avoid_fault(network).eval()
    in_danger = compute.device.type == "cpu"
    try:
        with torch.no_grad(), Watch() if in_danger else nullcontext():
            network(torch.zeros(1, channels, height, width))
    except RuntimeError as e:
        why = " ".join(str(e).split())[:200]
        raise UserError(f"model: does not fit images of {height}x{width} pixels ({why})") from None
    network.train()


def new_update(network: nn.Module, recipe: Recipe, compute: Compute, team: Team = ALONE) -> Update:
    """What trains `network`, which moves to the device; `team`: the processes that do it together."""
    network.to(compute.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    divide(network, recipe.batchnorm_parts, team, optimizer)
    forward = _compiled(network) if compute.compile else team.synchronised(network)
    kind = Replay if compute.graph else Update
    return kind(network, forward, team.weighted(recipe.loss), optimizer, compute)


def _compiled(network: nn.Module) -> Callable[..., Tensor]:
    import torch._dynamo.config as limits  # torch itself imports it no earlier

    torch.compiler.reset()  # of what was compiled for another network nothing is needed any more
    # Beyond its limit of 8 torch goes on without compiling: Manifold Mixup alone comes near.
    limits.recompile_limit = VARIANTS
    compiled: Callable[..., Tensor] = torch.compile(network, dynamic=False)
    return compiled
