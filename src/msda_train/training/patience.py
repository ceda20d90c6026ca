"""Early stopping: a run ends once its validation loss was not lower for `recipe.patience` epochs in a row.

Counted as in adiyoss/GCommandsPytorch run.py: an epoch of a larger loss than the lowest before counts, one
that is as low begins the count anew. The network stays as the last epoch left it. All of it is a function of
the history, which checkpoints hold, so an interrupted run stops where an uninterrupted one does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msda_train.core.errors import RunFailed, UserError
from msda_train.data.examples import Examples
from msda_train.training.recipe import Recipe

History = Sequence[Mapping[str, Any]]


def check_patience(recipe: Recipe, images: Examples) -> None:
    """UserError where there are no examples to lose patience over: those of the test set have no say. A
    validation split has, and the part of the training examples that is held out."""
    if recipe.patience is not None and not images.n_validation and not images.holdout:
        raise UserError(
            f"recipe.patience={recipe.patience}: needs validation examples, and {images.name} has none; "
            f"type dataset.holdout=0.1, or recipe.patience=null"
        )


def validated(recipe: Recipe, measured: Mapping[str, float], epoch: int) -> dict[str, float]:
    """What the history says of the validation part in a 0-based epoch, by its error and nll; nothing where
    nobody waits for it. RunFailed where the loss is no number."""
    if recipe.patience is None:
        return {}
    if not math.isfinite(measured["nll"]):
        raise RunFailed(f"epoch {epoch + 1}: the validation NLL is {measured['nll']}; no row written")
    return {"validation_error": measured["error"], "validation_nll": measured["nll"]}


def waited(history: History) -> int:
    """How many of the last epochs were worse than the best before them."""
    best, count = math.inf, 0
    for epoch in history:
        loss = epoch["validation_nll"]
        best, count = (best, count + 1) if loss > best else (loss, 0)
    return count


def stopped(history: History, recipe: Any) -> bool:
    """Whether patience ends a run of this history before the last of its epochs. A recipe of another task has
    none."""
    patience = getattr(recipe, "patience", None)
    return patience is not None and len(history) < recipe.epochs and waited(history) >= patience


def told(history: History, recipe: Any) -> dict[str, int]:
    """What the row of a finished run says of it: the epochs that were trained, where patience ended them."""
    return {"stopped_after": len(history)} if stopped(history, recipe) else {}
