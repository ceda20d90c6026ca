"""Ties by hand, slow loops, and scikit-learn."""

import numpy as np
import pytest

from msda_train.functional.detection import (
    auroc,
    average_precision,
    detection_accuracy,
    detection_numbers,
    fpr_at,
    thresholds,
)


def _scores(n=300, m=200, shift=0.7, decimals=1, seed=0):
    """Two samples that overlap and tie a lot."""
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(shift, 1, n), rng.normal(0, 1, m)
    return inside.round(decimals), outside.round(decimals)


def test_ties_by_hand():
    walk = thresholds(np.array([3.0, 2.0, 2.0]), np.array([2.0, 1.0]))
    # pairs: 3 beats both; each 2 ties with 2 and beats 1: 4 wins, 2 ties, of 6
    assert auroc(walk) == 5 / 6
    assert walk.hits.tolist() == [0, 1, 3, 3]
    assert walk.alarms.tolist() == [0, 0, 1, 2]
    assert average_precision(walk) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 4)
    assert detection_accuracy(walk) == pytest.approx((1 + 0.5) / 2)
    assert fpr_at(walk, 0.95) == 0.5
    assert fpr_at(walk, 1 / 3) == 0


def test_all_equal_is_chance():
    found = detection_numbers(np.zeros(20), np.zeros(30))
    assert found["auroc"] == 0.5
    assert found["detection_accuracy"] == 0.5
    assert found["fpr95"] == 1
    assert found["aupr_in"] == 0.4
    assert found["aupr_out"] == 0.6


def test_apart_and_upside_down():
    low, high = np.arange(10.0), np.arange(20.0, 25.0)
    assert set(detection_numbers(high, low).values()) == {0.0, 1.0}
    assert detection_numbers(high, low)["fpr95"] == 0
    upside_down = detection_numbers(low, high)
    assert upside_down["auroc"] == 0
    assert upside_down["tnr95"] == 0
    assert upside_down["detection_accuracy"] == 0.5  # by the threshold that takes all, or none


def test_slow_loops():
    inside, outside = _scores()
    wins = sum((a > b) + 0.5 * (a == b) for a in inside for b in outside)
    found = detection_numbers(inside, outside)
    assert found["auroc"] == pytest.approx(wins / len(inside) / len(outside), abs=1e-15)
    best, fpr95 = 0.5, None
    for t in sorted({*inside, *outside}, reverse=True):
        tpr, fpr = np.mean(inside >= t), np.mean(outside >= t)
        best = max(best, (tpr + 1 - fpr) / 2)
        if fpr95 is None and tpr >= 0.95:
            fpr95 = fpr
    assert found["detection_accuracy"] == pytest.approx(best)
    assert found["fpr95"] == pytest.approx(fpr95)
    assert found["tnr95"] == pytest.approx(1 - fpr95)


def test_95_percent_of_twenty_is_nineteen():
    inside = np.arange(20.0)
    assert fpr_at(thresholds(inside, np.array([0.5, 1.5])), 0.95) == 0.5  # the threshold is 1


@pytest.mark.parametrize("decimals", [1, 8])
def test_against_scikit_learn(decimals):
    from sklearn.metrics import average_precision_score, roc_auc_score

    inside, outside = _scores(decimals=decimals, seed=3)
    labels, scores = np.r_[np.ones(len(inside)), np.zeros(len(outside))], np.r_[inside, outside]
    found = detection_numbers(inside, outside)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["aupr_in"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found["aupr_out"] == pytest.approx(average_precision_score(1 - labels, -scores), abs=1e-12)


def test_only_the_order_counts():
    inside, outside = _scores()
    assert detection_numbers(inside, outside) == detection_numbers(np.exp(inside), np.exp(outside))


@pytest.mark.parametrize("bad", [[], [np.nan], [np.inf]])
def test_nothing_to_compare(bad):
    with pytest.raises(ValueError, match="finite"):
        detection_numbers(np.array(bad, dtype=float), np.ones(3))
