"""What the methods share that mix at a depth drawn from `method.depths`: k is the input of the model's stage
k, 0 the pixels."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import picture_size
from msda_train.core.randomness import Rng


def check_depths(depths: Sequence[int]) -> None:
    """UserError where `method.depths` is no list of depths."""
    if isinstance(depths, str | int) or len(depths) == 0:
        raise UserError(f"method.depths={depths}: must be a list; type method.depths=[0,1,2]")
    for depth in depths:
        checks.whole("method.depths", depth, least=0)


def check_reach(depths: Sequence[int], network: Any) -> None:
    """UserError where `network` has no such depth."""
    if max(depths) >= len(network.stages):
        deepest = len(network.stages) - 1
        raise UserError(f"method.depths={list(depths)}: this model can mix at depths 0 to {deepest}")


def draw_depth(depths: Sequence[int], rng: Rng) -> int:
    """One of them, all alike."""
    return int(rng.choice(list(depths)))


def map_size(x: Tensor, depth: int, network: Any) -> tuple[int, int]:
    """(height, width) of what pictures x (B, C, H, W) are at this depth of `network`. UserError where they
    are no pictures, or no map there."""
    pixels = picture_size(x)
    if depth == 0:
        return pixels
    found: tuple[int, int] | None = network.map_sizes(x)[depth]
    if found is None:
        raise UserError(
            f"method.depths: at depth {depth} this model has no map to cut a box out of; type smaller ones"
        )
    return found
