"""Wrong labels on purpose: how much a network memorises (mixup, arXiv:1710.09412, Table 2)."""

import numpy as np

from msda_train.core.randomness import Rng


def corrupted(y: np.ndarray, share: float, classes: int, rng: Rng) -> np.ndarray:
    """A copy of y (N,) with round(share * N) labels, chosen at random, replaced by uniform draws from all
    `classes`: 1 / classes of them are right by chance. (The paper says "random noise"; that all classes are
    drawn from is unverified.)"""
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    noisy = y.copy()
    noisy[chosen] = rng.integers(0, classes, len(chosen))
    return noisy
