"""A part of the training examples to choose options by, so that the test set has no say in them."""

from dataclasses import replace

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.examples import Examples, check_classes
from msda_train.data.subset import split


def held_out(whole: Examples, share: float, seed: int, empty_classes: bool) -> Examples:
    """`whole` with a `share` of each class of its training examples in place of the test examples, which
    nobody sees; 0: as it is. UserError where no class can spare some, unless there may be `empty_classes`."""
    checks.fraction("dataset.holdout", share)
    if not share:
        return whole
    if share == 1:
        raise UserError("dataset.holdout=1: leaves nothing to train on; type dataset.holdout=0.1")
    x, y = whole.x_train, whole.y_train
    out = split(y, share, generator(seed, "holdout"), stratified=True)
    kept = np.setdiff1d(np.arange(len(y)), out)
    whole = replace(whole, x_train=x[kept], y_train=y[kept], x_test=x[out], y_test=y[out])
    if not empty_classes:
        check_classes(f"dataset.holdout={share}", whole)
    return replace(whole, complete=False, holdout=share)
