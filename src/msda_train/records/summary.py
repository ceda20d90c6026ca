"""From the numbers of every epoch to the aggregates that papers report."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

METRICS = ("error", "top5_error", "nll")
TAIL = 10  # epochs; mixup's README and Puzzle Mix report the median of the last ten

# Every aggregate a row holds, and the words a published file may name as its protocol.
PROTOCOLS = (
    *(f"{metric}/{rule}" for metric in METRICS for rule in ("last", "best", "median_last10")),
    "top5_error/at_best",
    "nll/at_best",
)


def summarise(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The aggregates named in PROTOCOLS of a run's epochs.

    `best` is each metric's own minimum; `at_best` is the value at the epoch of lowest error, the first of
    several, because that is the model a best-epoch checkpoint would hold.
    """
    if not history:
        raise ValueError("a run without a finished epoch has no summary")
    metrics = {}
    for metric in METRICS:
        values = [float(epoch[metric]) for epoch in history]
        metrics[f"{metric}/last"] = values[-1]
        metrics[f"{metric}/best"] = min(values)
        metrics[f"{metric}/median_last10"] = float(median(values[-TAIL:]))
    at_best = min(history, key=lambda epoch: epoch["error"])  # min keeps the first of equals
    metrics["top5_error/at_best"] = float(at_best["top5_error"])
    metrics["nll/at_best"] = float(at_best["nll"])
    return metrics
