"""A second linear classifier beside a network's own, for methods that train on a part of the features.

It is a part of the network while that is trained: the optimizer, checkpoints and several devices know it as
they know the rest. Whoever opens a finished run gets the network without it (`models.trained`).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.models.staged import GlobalMean, Pooling, Staged

NAME = "second"


def give_second_head(network: nn.Module, classes: int, kind: type[Pooling]) -> nn.Linear:
    """Gives `network` the head and returns it; from now on features are kept. UserError where the network
    does not end in one pooling of this kind and one linear layer."""
    pooling, own = _end(network, kind)
    pooling.keep = True
    head = nn.Linear(own.in_features, classes)
    network.add_module(NAME, head)
    return head


def keep_features(network: nn.Module, kind: type[Pooling]) -> None:
    """Features are kept, for the network's own head to see a part of them. UserError as above."""
    _end(network, kind)[0].keep = True


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


def without_second_head(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A network's state less that of the head."""
    return {name: value for name, value in weights.items() if not name.startswith(f"{NAME}.")}


def _end(network: nn.Module, kind: type[Pooling] = Pooling) -> tuple[Pooling, nn.Linear]:
    layers = list(network.stages[-1].children()) if isinstance(network, Staged) else []
    if len(layers) > 1 and isinstance(layers[-2], kind) and isinstance(layers[-1], nn.Linear):
        return layers[-2], layers[-1]
    what, model = ("average pooling", "resnet18") if kind is GlobalMean else ("a class token", "deit_s")
    raise UserError(f"method: needs a network that ends in {what} and one linear layer; type model={model}")
