"""From the numbers of every epoch to the aggregates that papers report."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

CLASSIFICATION = "classification"  # the task of a row that names none
METRICS = ("error", "top5_error", "nll")
TASKS = {CLASSIFICATION: METRICS, "gan": ("modes", "good")}  # by task, what every epoch measures
RISING = frozenset({"modes", "good"})  # larger is better
RULES = ("last", "best", "median_last10")
HELD_OUT = "held_out"  # `measured_on` of a row whose "test images" are a part of the training images
TAIL = 10  # epochs; mixup's README and Puzzle Mix report the median of the last ten

# Every aggregate a row holds, and the words a published file may name as its protocol.
PROTOCOLS = (
    *(f"{metric}/{rule}" for metric in METRICS for rule in RULES),
    "top5_error/at_best",
    "nll/at_best",
)


def protocols(task: str) -> tuple[str, ...]:
    """Every aggregate that a row of this task holds."""
    return PROTOCOLS if task == CLASSIFICATION else tuple(f"{m}/{r}" for m in TASKS[task] for r in RULES)


def summarise(history: Sequence[Mapping[str, Any]], task: str = CLASSIFICATION) -> dict[str, float]:
    """The aggregates of a run's epochs, those of classification named in PROTOCOLS.

    `best` is each metric's own best value; `at_best` is the value at the epoch of lowest error, the first of
    several, because that is the model a best-epoch checkpoint would hold.
    """
    if not history:
        raise ValueError("a run without a finished epoch has no summary")
    metrics = {}
    for metric in TASKS[task]:
        values = [float(epoch[metric]) for epoch in history]
        metrics[f"{metric}/last"] = values[-1]
        metrics[f"{metric}/best"] = max(values) if metric in RISING else min(values)
        metrics[f"{metric}/median_last10"] = float(median(values[-TAIL:]))
    if task != CLASSIFICATION:
        return metrics
    at_best = min(history, key=lambda epoch: epoch["error"])  # min keeps the first of equals
    metrics["top5_error/at_best"] = float(at_best["top5_error"])
    metrics["nll/at_best"] = float(at_best["nll"])
    return metrics
