"""A second linear classifier beside a network's own, for methods that train on a part of the features.

It is a part of the network while that is trained: the optimizer, checkpoints and several devices know it as
they know the rest. Whoever opens a finished run gets the network without it (`models.trained`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from msda_train.core.errors import UserError
from msda_train.core.mix import Criterion, Rows
from msda_train.models.staged import GlobalMean, Pooling, Staged

NAME = "second"


def give_second_head(
    network: nn.Module, classes: int, kind: type[Pooling] = Pooling, *, shared: bool = False
) -> nn.Linear:
    """Gives `network` the head and returns it; from now on features are kept. shared: the head is the
    network's own. UserError where the network does not end in one pooling of this kind and one linear
    layer."""
    pooling, own = _end(network, kind)
    pooling.keep = True
    if shared:
        return own
    head = nn.Linear(own.in_features, classes)
    network.add_module(NAME, head)
    return head


def heads(network: nn.Module) -> tuple[nn.Linear, nn.Module]:
    """The network's own head, and the second one, or the same again where there is none."""
    own = _end(network)[1]
    return own, getattr(network, NAME, own)


def take_features(network: nn.Module) -> Tensor:
    """What the last forward pass in training pooled: a map (B, C, h, w), or tokens (B, N, C) with the class
    token first; float32, with its gradients. Can be taken once."""
    pooling = _end(network)[0]
    kept, pooling.kept = pooling.kept, None
    assert kept is not None
    return kept.float()


def said_in_box(network: nn.Module, box: Tensor) -> Tensor:
    """Logits (B, K) of the second head for the part of a map inside box (B|1, 4): left, top, right, bottom,
    in widths of the image. RoI-Align (He et al., arXiv:1703.06870) with one cell, as torchvision has it."""
    features = take_features(network)
    index = torch.arange(len(features), device=features.device, dtype=features.dtype)
    edges = (box * features.shape[-1]).expand(len(features), 4)
    inside = roi_align(features, torch.cat([index[:, None], edges], dim=1), output_size=1, aligned=True)
    said: Tensor = heads(network)[1](inside.flatten(1))
    return said


def said_of_patches(network: nn.Module, *parts: Tensor) -> list[Tensor]:
    """For each part (B, N), 1 for its patches and 0 elsewhere, the second head's logits (B, K) for the mean
    of their tokens."""
    tokens = take_features(network)[:, 1:]
    means = ((tokens * part[:, :, None]).sum(1) / part.sum(1, keepdim=True) for part in parts)
    return [heads(network)[1](mean) for mean in means]


def said_of_all(network: nn.Module) -> Tensor:
    """The second head's logits (B, K) for what the network's own head is given."""
    pooling = _end(network)[0]
    said: Tensor = heads(network)[1](pooling.pool(take_features(network)))
    return said


def said_nothing(network: nn.Module) -> Tensor:
    """0, and a gradient of 0 for the second head: an optimizer that skipped it in some steps would not be the
    one that is recorded, which skips nothing."""
    features = take_features(network)
    nothing: Tensor = 0 * heads(network)[1](features.mean(dim=(2, 3) if features.ndim == 4 else 1)).sum()
    return nothing


def unasked(logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion) -> Tensor:
    """The criterion alone, in a step that does not ask the second head; see `msda_train.core.mix.OwnLoss`."""
    return criterion(logits, target) + said_nothing(network)


def without_second_head(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A network's state less that of the head."""
    return {name: value for name, value in weights.items() if not name.startswith(f"{NAME}.")}


def _end(network: nn.Module, kind: type[Pooling] = Pooling) -> tuple[Pooling, nn.Linear]:
    layers = list(network.stages[-1].children()) if isinstance(network, Staged) else []
    if len(layers) > 1 and isinstance(layers[-2], kind) and isinstance(layers[-1], nn.Linear):
        return layers[-2], layers[-1]
    what, model = ("average pooling", "resnet18") if kind is GlobalMean else ("a class token", "deit_s")
    raise UserError(f"method: needs a network that ends in {what} and one linear layer; type model={model}")
