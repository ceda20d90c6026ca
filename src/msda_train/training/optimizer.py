"""A network as built on the CPU becomes one that is trained."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.models.last_linear import last_linear
from msda_train.models.onednn import Watch, avoid_fault
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team
from msda_train.training.divided_layers import divide
from msda_train.training.recipe import Recipe
from msda_train.training.update import FACTOR, Replay, Update

FOR_PICTURES = "model=preactresnet18"  # of any size
VARIANTS = 64  # that one network may be compiled for: shapes, depths of mixing, training and testing


def fit(network: nn.Module, shape: Sequence[int], compute: Compute) -> None:
    """Makes any `network` safe from oneDNN's fault; UserError where that cannot be done, or where it cannot
    take examples of this shape. One of zeros in evaluation mode: nothing is drawn and no statistic moves."""
    avoid_fault(network).eval()
    in_danger = compute.device.type == "cpu"
    try:
        with torch.no_grad(), Watch() if in_danger else nullcontext():
            network(torch.zeros(1, *shape))
    except RuntimeError as e:
        why = " ".join(str(e).split())[:200]
        what = (
            f"images of {shape[1]}x{shape[2]} pixels"
            if len(shape) == 3
            else f"examples of {shape[0]} numbers"
        )
        hint = FOR_PICTURES if len(shape) == 3 else "model=mlp"
        raise UserError(f"model: does not fit {what} ({why}); type {hint}") from None
    network.train()


def new_update(network: nn.Module, recipe: Recipe, compute: Compute, team: Team = ALONE) -> Update:
    """What trains `network`, which moves to the device; `team`: the processes that do it together."""
    network.to(compute.device).to(memory_format=torch.channels_last)
    optimizer = new_optimizer(parameter_groups(network, recipe), recipe, compute)
    divide(network, recipe.batchnorm_parts, team, optimizer)
    forward = _compiled(network) if compute.compile else team.synchronised(network)
    kind = Replay if compute.graph else Update
    return kind(network, forward, recipe.loss, optimizer, compute, weighted=team.weighted)


def parameter_groups(network: nn.Module, recipe: Recipe) -> Iterable[Any]:
    """What the optimizer is given: with `decay_weights_only`, weight decay for weights of layers alone, not
    for biases, norms, class tokens, positions and tables of positions; with a `last_layer_factor`, groups of
    their own for the last linear layer, whose FACTOR says so. UserError where there is none."""
    own_lr = recipe.last_layer_factor != 1
    if not recipe.decay_weights_only and not own_lr:
        return network.parameters()
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    decayed = {id(module.weight) for module in network.modules() if isinstance(module, layers)}
    last = _last_layer(network) if own_lr else frozenset()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():  # their order is what a checkpoint knows them by
        bare = recipe.decay_weights_only and id(parameter) not in decayed
        groups.setdefault((id(parameter) in last, bare), []).append(parameter)
    made = []
    for (its, bare), members in sorted(groups.items()):  # no two have the same key, so no members compare
        group: dict[str, Any] = {"params": members} | ({"weight_decay": 0.0} if bare else {})
        made.append(group | ({FACTOR: recipe.last_layer_factor} if its else {}))
    return made


def _last_layer(network: nn.Module) -> frozenset[int]:
    linear = last_linear(network)
    if linear is None:
        raise UserError(
            "recipe.last_layer_factor: this network ends in no linear layer; type recipe.last_layer_factor=1"
        )
    return frozenset(map(id, linear.parameters()))


def new_optimizer(parameters: Iterable[Any], recipe: Recipe, compute: Compute) -> torch.optim.Optimizer:
    """The recipe's optimizer of `parameters`, or groups of them. SGD and Adam (Kingma & Ba, arXiv:1412.6980)
    add weight decay to the gradient, AdamW (Loshchilov & Hutter, arXiv:1711.05101) keeps it apart. With
    `clip_norm` the gradients of all together are scaled to that norm where theirs is larger."""
    shared: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(parameters, momentum=recipe.momentum, nesterov=recipe.nesterov, **shared)
    else:
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        first, second = recipe.betas
        optimizer = kind(
            parameters, betas=(first, second), eps=recipe.eps, capturable=compute.graph, **shared
        )
    if recipe.clip_norm:
        optimizer.register_step_pre_hook(partial(_clip, recipe.clip_norm))
    return optimizer


def _clip(norm: float, optimizer: torch.optim.Optimizer, *_: Any) -> None:
    everything = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(everything, norm, foreach=True)


def _compiled(network: nn.Module) -> Callable[..., Tensor]:
    import torch._dynamo.config as limits  # torch itself imports it no earlier

    torch.compiler.reset()  # of what was compiled for another network nothing is needed any more
    # Beyond its limit of 8 torch goes on without compiling: Manifold Mixup alone comes near.
    limits.recompile_limit = VARIANTS
    compiled: Callable[..., Tensor] = torch.compile(network, dynamic=False)
    return compiled
