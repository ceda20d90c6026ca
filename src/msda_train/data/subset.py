"""Fewer images: a cap per class, class-balanced subsets, a part to test on. Functions of the labels alone."""

import numpy as np

from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng


def capped(y: np.ndarray, per_class: int) -> np.ndarray:
    """Indices, ascending, of the first `per_class` images of each class in `y` (N,)."""
    return np.sort(np.concatenate([np.flatnonzero(y == k)[:per_class] for k in np.unique(y)]))


def balanced(y: np.ndarray, n: int, rng: Rng, *, option: str) -> np.ndarray:
    """Indices, ascending, of `n` images drawn from `y` (N,) so that class counts differ by at most one.

    With the same seed a smaller subset lies within a larger one. UserError names `option`.
    """
    present, counts = np.unique(y, return_counts=True)
    least, classes = int(counts.min()), len(present)
    most = least * classes + int((counts > least).sum())
    if n < classes:
        raise UserError(
            f"{option}={n} is less than one image for each of the {classes} classes; give {classes} or more"
        )
    if n > most:
        raise UserError(
            f"{option}={n}: at most {most} of the {len(y)} images make a balanced subset "
            f"(the smallest class has {least}); give a smaller number, or null for all images"
        )
    shuffled = [rng.permutation(np.flatnonzero(y == k)) for k in present]
    each, extra = divmod(n, classes)
    with_one_more = [k for k in rng.permutation(classes) if counts[k] > each][:extra]
    take = np.full(classes, each)
    take[with_one_more] += 1
    return np.sort(np.concatenate([indices[:m] for indices, m in zip(shuffled, take, strict=True)]))


def split(y: np.ndarray, test_share: float, rng: Rng, *, stratified: bool) -> np.ndarray:
    """Indices, ascending, of the test part: `test_share` of `y` (N,), rounded, and at least one for either
    side. Stratified: of each class the same share, one more or less."""
    n = min(max(round(test_share * len(y)), 1), len(y) - 1)
    order = rng.permutation(len(y))
    if not stratified:
        return np.sort(order[:n])
    by_class = order[np.argsort(y[order], kind="stable")]
    places = ((np.arange(n) + rng.random()) * len(y) / n).astype(np.int64)  # evenly over the sorted rows
    return np.sort(by_class[places])
