"""What is held to the laws: anything that is called with a batch and gives a mixed batch and soft labels."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

DRAWS = 1000  # calls that statistics are made of: a D of 0.09 is then found
CLASSES = 10  # of the labels (B, K) that a mixer makes, where it is told
Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # x (B, C, H, W), y (B,) -> x, labels (B, K)


@dataclass(frozen=True)
class Claims:
    """What a mixer says of itself; laws that follow from nothing it says are not asked.

    lam: `beta`, the label weight is lam ~ Beta(alpha, alpha) itself; `box`, the share that CutMix's box
    leaves; None, something else.
    alpha: with which it is made unless another is typed.
    pairing: how its paper's code finds partners, `permutation` or `reversal`; None, in another way.
    per: `batch`, its paper's code draws one lam for a batch; None, it draws something else.
    labels: why label weights are something else than shares of pixels, where its paper makes them so.
    fixed: why the same images are always mixed alike, where its paper draws nothing.
    """

    lam: str | None = None
    alpha: float = 1.0
    pairing: str | None = None
    per: str | None = None
    labels: str = ""
    fixed: str = ""


MIXUP = Claims("beta", pairing="permutation", per="batch")
CUTMIX = Claims("box", pairing="permutation", per="batch")


@dataclass(frozen=True)
class Subject:
    """A mixer under test.

    make: gives a new one, from those of `alpha`, `prob`, `seed`, `num_classes` that `options` names.
    draws: calls that statistics are made of. in_workers: whether it is meant to run in a DataLoader's.
    """

    name: str
    make: Callable[..., Mixer]
    claims: Claims
    options: frozenset[str] = frozenset()
    draws: int = DRAWS
    in_workers: bool = True

    def made(self, seed: int = 0, **options: float) -> Mixer:
        """A new one that mixes every batch, unless `prob` says otherwise. The global generators of Python,
        NumPy and torch begin at `seed`, and its own too, where it takes one."""
        seed_all(seed)
        wanted: dict[str, Any] = {"prob": 1.0, "num_classes": CLASSES, "seed": seed, **options}
        return self.make(**{key: value for key, value in wanted.items() if key in self.options})


def seed_all(seed: int) -> None:
    """Every generator that a mixer may draw from without owning it."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (others draw from it)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Outcome:
    """pass, differs (from the paper, or from what most people expect, and says so), fail (wrong) or none (not
    asked); words: what was found; short: the same for a cell of a table."""

    verdict: str
    words: str
    short: str = ""


def passed(words: str) -> Outcome:
    """The law is kept."""
    return Outcome("pass", words)


def differs(short: str, words: str) -> Outcome:
    """Something else than the papers, but what it says it does."""
    return Outcome("differs", words, short)


def failed(words: str) -> Outcome:
    """What comes out is wrong."""
    return Outcome("fail", words)


def unasked(words: str) -> Outcome:
    """The law does not apply; why."""
    return Outcome("none", words)


def refusal(error: Exception, what: str) -> Outcome:
    """A mixer that raises gives no wrong result: it differs from one that works."""
    told = " ".join(str(error).split())[:100]
    return differs("refuses", f"refuses {what} ({type(error).__name__}: {told})")


def listed(words: Sequence[str]) -> str:
    """one, two and three."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
