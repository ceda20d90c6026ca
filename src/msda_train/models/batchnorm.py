"""BatchNorm with statistics of its own for each part of a batch.

That is what a network gets that is trained by torch.nn.DataParallel: each GPU normalises its share of the
batch by that share's mean and variance, and the running statistics are those of the first GPU. On one device
it is known as ghost batch normalisation (Hoffer, Hubara & Soudry, NeurIPS 2017, arXiv:1705.08741). Parameters
and state keep their names, and evaluation is as before.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def shares(count: int, parts: int) -> list[int]:
    """Sizes of `parts` consecutive parts of `count` things, as even as can be. Parts of parts fit: two
    neighbours of 2k parts are one of k."""
    edges = [count * part // parts for part in range(parts + 1)]
    return [end - start for start, end in pairwise(edges)]


def changed(module: nn.Module, kind: type[nn.Module], **attributes: Any) -> None:
    """Puts the forward pass of `kind` before that of `module`: the same parameters, the same state."""
    own = type(module)
    module.__class__ = type(f"{kind.__name__}{own.__name__}", (kind, own), {})
    for name, value in attributes.items():
        setattr(module, name, value)


def batch_norms(network: nn.Module) -> Iterator[_BatchNorm]:
    """Every BatchNorm of the network, of whatever class."""
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


def normalise_parts(network: nn.Module, sizes: Callable[[int], list[int]]) -> None:
    """From now on every BatchNorm of `network` normalises by parts; `sizes` of them, for a number of
    images."""
    for module in list(batch_norms(network)):
        changed(module, InParts, sizes=sizes)


class InParts(_BatchNorm):
    """See the head of this file; stands before a BatchNorm's own class."""

    sizes: Callable[[int], list[int]]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        if not self.training:
            return super().forward(x)
        first, *others = x.split(self.sizes(len(x)))
        made = [super().forward(first)]
        kept, self.track_running_stats = self.track_running_stats, False
        for part in others:
            made.append(super().forward(part))
        self.track_running_stats = kept
        return torch.cat(made)
