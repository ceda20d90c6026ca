"""How well a score tells two samples apart: here in-distribution images (high scores) from others (low).

All measures come from one walk through the distinct scores, from the highest to the lowest, so equal scores
are treated alike: a threshold takes all of them or none. Scores are (N,) and (M,) NumPy arrays.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Thresholds:
    """How many of `inside` and of `outside` scores reach each distinct score, falling, after none at all:
    hits and alarms (T + 1,) int64, from 0 to N and from 0 to M."""

    hits: np.ndarray
    alarms: np.ndarray

    @property
    def tpr(self) -> np.ndarray:
        """(T + 1,) share of `inside` that is accepted."""
        made: np.ndarray = self.hits / self.hits[-1]
        return made

    @property
    def fpr(self) -> np.ndarray:
        """(T + 1,) share of `outside` that is accepted."""
        made: np.ndarray = self.alarms / self.alarms[-1]
        return made


def thresholds(inside: np.ndarray, outside: np.ndarray) -> Thresholds:
    """The walk; raises ValueError where one of them is empty or not finite."""
    scores = np.concatenate([inside, outside])
    if not (len(inside) and len(outside) and np.isfinite(scores).all()):
        raise ValueError("both samples need at least one score, all of them finite")
    distinct, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place[: len(inside)], minlength=len(distinct))
    alarms = np.bincount(place[len(inside) :], minlength=len(distinct))
    start = np.zeros(1, dtype=np.int64)
    return Thresholds(np.concatenate([start, hits.cumsum()]), np.concatenate([start, alarms.cumsum()]))


def auroc(walk: Thresholds) -> float:
    """Area under the ROC curve: P(inside > outside) + P(inside = outside) / 2 (Mann and Whitney's U / NM).

    The trapezoids of the curve are just that; the sums are of integers, and exact.
    """
    twice = np.diff(walk.alarms) * (walk.hits[1:] + walk.hits[:-1])
    return float(twice.sum() / (2 * int(walk.hits[-1]) * int(walk.alarms[-1])))


def average_precision(walk: Thresholds) -> float:
    """Area under the precision-recall curve with `inside` positive, as a sum of steps: no interpolation,
    which would be too kind (Davis and Goadrich, ICML 2006). Depends on the ratio N / M."""
    precision = walk.hits[1:] / (walk.hits[1:] + walk.alarms[1:])
    return float((np.diff(walk.tpr) * precision).sum())


def fpr_at(walk: Thresholds, tpr: float) -> float:
    """Share of `outside` accepted at the highest threshold that accepts at least `tpr` of `inside`."""
    return float(walk.fpr[np.argmax(walk.tpr >= tpr)])


def detection_accuracy(walk: Thresholds) -> float:
    """The largest (TPR + TNR) / 2 of any threshold: one minus the detection error of Liang et al. (ODIN,
    ICLR 2018, arXiv:1706.02690), which takes both samples as equally likely."""
    return float((walk.tpr + 1 - walk.fpr).max() / 2)


def detection_numbers(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """All of them: auroc, aupr_in and aupr_out (which of the two is the positive class), fpr95 and tnr95 (at
    95 % TPR), detection_accuracy."""
    walk = thresholds(inside, outside)
    fpr95 = fpr_at(walk, 0.95)
    return {
        "auroc": auroc(walk),
        "aupr_in": average_precision(walk),
        "aupr_out": average_precision(thresholds(-outside, -inside)),
        "fpr95": fpr95,
        "tnr95": 1 - fpr95,
        "detection_accuracy": detection_accuracy(walk),
    }
