"""What the pair-mixing methods share: when to mix, how strongly and with whom. What mixing is, each says
itself.

Partners come from the batch (`permutation`, `reversal`), or they are drawn from all training images: of the
same class, of other classes, among the k nearest in pixel space, or among the k nearest of the same class.
mixup (arXiv:1710.09412) compares random pairs with these in its ablation, k = 200. There partners need not be
in the batch, and a batch of 128 holds half of one's 200 neighbours of 50,000 at best; so they are drawn from
the training set, cropped and mirrored by themselves, and follow the batch (`PicksPartners`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Among, Mix
from msda_train.core.randomness import Rng, draw_lam, pair

FROM_BATCH = ("permutation", "reversal")
FROM_ALL = {"same_class": "same", "other_class": "other", "nearest": "all", "nearest_same_class": "same"}


@dataclass(frozen=True)
class Pairwise:
    """A coin with probability `prob`, then lam ~ Beta(alpha, alpha) and a partner for every sample.

    The coin falls once per batch, as in all authors' code; `lam_per` says whether lam (and the box, the blob)
    is drawn once per batch or for each sample.
    """

    alpha: float = 1.0
    prob: float = 1.0
    lam_per: str = "batch"
    pairing: str = "permutation"
    neighbours: int | None = None  # of nearest pairings: how many images a partner is drawn from
    inputs_only: bool = False  # mix the images, keep the labels: the control of On Mixup Training

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        checks.fraction("method.prob", self.prob)
        checks.one_of("method.lam_per", self.lam_per, ("batch", "sample"))
        checks.one_of("method.pairing", self.pairing, (*FROM_BATCH, *FROM_ALL))
        self._check_neighbours()
        checks.flag("method.inputs_only", self.inputs_only)

    def _check_neighbours(self) -> None:
        if self.pairing.startswith("nearest"):
            if self.neighbours is None:
                raise UserError(
                    f"method.pairing={self.pairing}: of how many? type method.neighbours=200, too"
                )
            checks.whole("method.neighbours", self.neighbours, least=1)
        elif self.neighbours is not None:
            raise UserError(
                f"method.neighbours={self.neighbours}: counts with method.pairing=nearest only; type both"
            )

    def among(self) -> Among | None:
        """See `msda_train.core.mix.PicksPartners`."""
        return Among(FROM_ALL[self.pairing], self.neighbours) if self.pairing in FROM_ALL else None

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """The plan for x (B, C, H, W), y (B,); see `msda_train.core.mix.Method`."""
        return self.paired(x, rng, lambda lam, perm: self.mix(x, y, lam, perm, model, rng))

    def paired(self, x: Tensor, rng: Rng, mix: Callable[[np.ndarray, Tensor], Mix]) -> Mix:
        """What `mix` plans for x (B, C, H, W), given lam (B,) or (1,) float64 and perm (B,) int64, both drawn
        here; where the coin says no, the identity. Of a batch that its partners follow, both halves are
        planned, each with the other, and the first is kept."""
        size = x.shape[0]
        own = size // 2 if self.pairing in FROM_ALL else size
        if rng.random() >= self.prob:
            return Mix.identity(x) if own == size else replace(Mix.identity(x).first(own), depth=0)
        lam = draw_lam(rng, self.alpha, size if self.lam_per == "sample" else 1)
        perm = partners(rng, self.pairing, x)
        plan = mix(lam, perm).first(own) if own < size else mix(lam, perm)
        return replace(plan, lam=torch.ones_like(plan.lam)) if self.inputs_only else plan

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """The plan for images x (B, C, H, W) with labels y (B,), given lam (B,) or (1,) float64 and perm
        (B,)."""
        raise NotImplementedError


def check_batch_alone(method: Pairwise, instead: str) -> None:
    """UserError where `method`, whose plan is made of a batch and its labels, is asked for partners from
    elsewhere or for labels that stay; instead: a method that can."""
    if method.inputs_only or method.pairing in FROM_ALL:
        what = "inputs_only=true" if method.inputs_only else f"pairing={method.pairing}"
        name = type(method).__name__
        raise UserError(f"method.{what}: {name} mixes a batch in itself, labels too; type method={instead}")


def partners(rng: Rng, pairing: str, x: Tensor) -> Tensor:
    """(B,) int64 beside the batch x (B, ...); see `pair`."""
    return beside(torch.from_numpy(pair(rng, pairing, x.shape[0])), x)


def blended(lam: np.ndarray, perm: Tensor, x: Tensor) -> Mix:
    """mixup's plan: weights lam (B,) or (1,) for the whole of each example, and for its label."""
    weight = to_device(lam, x)
    return Mix(perm, weight, weight.view(-1, 1, 1, 1))


def to_device(values: np.ndarray, x: Tensor) -> Tensor:
    """Host draws as a float32 tensor beside x, without waiting for the device."""
    return beside(torch.from_numpy(values.astype(np.float32)), x)


def beside(host: Tensor, x: Tensor) -> Tensor:
    """A host's tensor on the device of x."""
    return host if x.is_cpu else host.to(x.device, non_blocking=True)
