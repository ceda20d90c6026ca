"""A model is a list of stages. That is all it knows about mixing, and all Manifold Mixup needs.

Beside it lie the few things that the builders of networks share.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.models.map_sizes import Sizes, map_sizes
from msda_train.models.onednn import avoid_fault


class Staged(nn.Module):
    """Stages applied one after another; the input of stage k is where a `Mix` of depth k acts.

    least_side: the smallest images, in pixels a side, that the network was made for.
    """

    def __init__(self, stages: Iterable[nn.Module], *, least_side: int = 1):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.least_side = least_side
        self._map_sizes: dict[tuple[int, ...], Sizes] = {}
        avoid_fault(self)

    def forward(self, x: Tensor, mix: Mix | None = None) -> Tensor:
        """Logits (B, K) for images x (B, C, H, W), or examples of another shape; `mix` is None in evaluation.
        Raises UserError for images that are too small."""
        if x.ndim == 4 and min(x.shape[-2:]) < self.least_side:
            raise UserError(
                f"model: this network needs images of at least {self.least_side} pixels a side, these have "
                f"{min(x.shape[-2:])}; type model=preactresnet18"
            )
        for k, stage in enumerate(self.stages):
            if mix is not None and mix.depth == k:
                x = mix.apply(x)
            x = stage(x)
        return x

    def map_sizes(self, x: Tensor) -> Sizes:
        """(height, width) of the map at each depth, for images like x (B, C, H, W); None where it is no map
        there. Found out once for each size of images."""
        shape = tuple(x.shape[1:])
        if shape not in self._map_sizes:
            self._map_sizes[shape] = map_sizes(self, list(self.stages), x)
        return self._map_sizes[shape]


class Pooling(nn.Module):
    """Makes one vector of an image's features, the last step before the classifier. keep: whether what comes
    in while training is `kept`, until somebody takes it; see `models.second_head`."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = False
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.keep and self.training:
            self.kept = x
        return self.pool(x)

    def pool(self, x: Tensor) -> Tensor:
        """See the class."""
        raise NotImplementedError


class GlobalMean(Pooling):
    """(B, C, H, W) -> (B, C): average pooling over whatever is left of the image."""

    def pool(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.mean(dim=(2, 3))


def check_blocks(blocks: Any, example: str) -> None:
    """`model.blocks`, the number of blocks of each group, must be whole numbers of at least 1."""
    if isinstance(blocks, str | int) or not blocks:
        raise UserError(f"model.blocks={blocks}: must be a list; type model.blocks={example}")
    for count in blocks:
        checks.whole("model.blocks", count, least=1)


def check_size(size: Sequence[int], *, least: int) -> tuple[int, int]:
    """`model.size` as (height, width), each of `least` pixels or more."""
    if isinstance(size, str | int) or len(size) != 2:
        raise UserError(f"model.size={size}: must be height and width; type model.size=[161,101]")
    for side in size:
        checks.whole("model.size", side, least=least)
    return size[0], size[1]


def he_fan_out(model: nn.Module) -> None:
    """He et al.'s initialisation of every convolution: normal, variance 2 / (kernel area x channels out)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def openmixup_start(model: nn.Module) -> None:
    """Westlake-AI/openmixup's start of what is no convolution's weight: no biases, a classifier of deviation
    0.01."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
