"""One of several methods for each batch, as timm's and openmixup's users have it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Method, Mix, prepared
from msda_train.core.randomness import Rng


@dataclass(frozen=True)
class OneOf:
    """With probability `prob` a batch is mixed, by one of `methods`, drawn by `weights`."""

    methods: Sequence[Method]
    weights: Sequence[float]
    prob: float = 1.0

    def __post_init__(self) -> None:
        checks.fraction("prob", self.prob)
        if isinstance(self.weights, str) or len(self.weights) != len(self.methods):
            raise UserError(f"weights={self.weights}: give one for each of {len(self.methods)} methods")
        for weight in self.weights:
            checks.non_negative("weights", weight)
        if sum(self.weights) == 0:
            raise UserError(f"weights={list(self.weights)}: one has to be greater than 0")

    @property
    def whole_numbers(self) -> bool:
        """Whether all of them mix those."""
        return all(getattr(method, "whole_numbers", False) for method in self.methods)

    def prepare(self, network: nn.Module, batches: Iterable[Tensor]) -> "OneOf":
        """See `msda_train.core.mix.Prepares`; `batches` is gone through once for each that asks."""
        return replace(self, methods=[prepared(method, network, batches) for method in self.methods])

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        if rng.random() >= self.prob:
            return Mix.identity(x)
        share = np.array(self.weights, dtype=np.float64)
        chosen = int(rng.choice(len(share), p=share / share.sum()))
        return self.methods[chosen].plan(x, y, model, rng)
