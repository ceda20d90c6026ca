"""The verdict's interval is SciPy's, its words err as rarely as they say, and every word can be reached."""

import numpy as np
import pytest
from scipy import stats

from msda_train.comparison.table import summary_stat
from msda_train.comparison.verdict import (
    CONFIDENCE,
    WORDS,
    equivalence_margin,
    interval,
    rounding,
)
from msda_train.comparison.verdict import (
    verdict as verdict_of,
)
from msda_train.records.published import Cell


def cell(value=20.0, **words):
    known = {"digits": 2, "unit": "percent", "metric": "error", "protocol": "error/best"}
    places = dict.fromkeys(("paper", "table", "table_name", "label", "dataset", "model", "source"), "x")
    return Cell(**(places | known | {"value": value, "experiment": "e", "method": "erm"} | words))


def verdict(printed, values):
    return verdict_of(printed, summary_stat(values) if values else None)


def test_the_interval_is_welchs():
    rng = np.random.default_rng(0)
    for n, m in ((2, 5), (3, 3), (5, 2), (7, 30)):
        ours, theirs = rng.normal(20.4, 0.3, n), rng.normal(20, 0.5, m)
        printed = cell(theirs.mean(), std=theirs.std(ddof=1), n=m)
        low, high = interval(printed, ours.mean() - theirs.mean(), ours.std(ddof=1), n)
        expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(CONFIDENCE)
        assert (low, high) == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize(("digits", "half"), [(0, 0.5), (1, 0.05), (2, 0.005)])
def test_a_bare_number_is_a_constant_with_its_rounding(digits, half):
    ours = np.array([20.1, 20.5, 20.2, 20.4])
    bare = cell(digits=digits)
    assert rounding(bare) == pytest.approx(half)
    low, high = interval(bare, ours.mean() - 20, ours.std(ddof=1), 4)
    expected = stats.t.interval(CONFIDENCE, 3, loc=ours.mean() - 20, scale=stats.sem(ours))
    assert (low, high) == pytest.approx((expected[0] - half, expected[1] + half), rel=1e-12)


@pytest.mark.parametrize("words", [{"std": 0.3}, {"std": 0.3, "n": 1}, {"n": 5}, {"spread": 0.3}])
def test_a_spread_without_its_runs_does_not_make_a_welch_interval(words):
    assert interval(cell(**words), 0.1, 0.2, 3) == interval(cell(), 0.1, 0.2, 3)


def test_seeds_that_all_agree():
    exact = verdict(cell(std=0.0, n=5), [20.0, 20.0])
    assert (exact.word, exact.low, exact.high) == ("reproduced", 0, 0)
    rounded = verdict(cell(digits=1), [20.0, 20.0, 20.0])
    assert (rounded.low, rounded.high) == pytest.approx((-0.05, 0.05))


def _simulate(truth, repetitions=1500, n=3, m=5):
    """Intervals and words of `repetitions` honest comparisons whose true difference is `truth`."""
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(truth, 0.2, (repetitions, n)) + 20, rng.normal(20, 0.2, (repetitions, m))
    found = []
    for mine, their in zip(ours, theirs, strict=True):
        printed = cell(float(their.mean()), std=float(their.std(ddof=1)), n=m)
        found.append(verdict(printed, mine.tolist()))
    return found


def test_coverage_is_what_it_says():
    inside = np.mean([found.low <= 0.3 <= found.high for found in _simulate(0.3)])
    assert inside == pytest.approx(CONFIDENCE, abs=0.025)


@pytest.mark.parametrize(("truth", "wrong"), [(0.501, "reproduced"), (0.499, "worse"), (-0.499, "better")])
def test_each_word_errs_in_at_most_one_in_twenty(truth, wrong):
    """At the edge of the margin, where it is hardest."""
    share = np.mean([found.word == wrong for found in _simulate(truth)])
    assert 0.01 < share < 0.065


def test_the_words_of_an_error_and_of_an_accuracy():
    error, accuracy = cell(), cell(80.0, metric="top1_acc")
    near, above, below = [20.0, 20.1], [22.0, 22.1], [18.0, 18.1]
    assert [verdict(error, ours).word for ours in (near, above, below)] == ["reproduced", "worse", "better"]
    mirrored = [[100 - value for value in ours] for ours in (near, above, below)]
    assert [verdict(accuracy, ours).word for ours in mirrored] == ["reproduced", "worse", "better"]


def test_a_sure_difference_within_the_margin_is_still_reproduced():
    found = verdict(cell(), [20.20, 20.21, 20.22])
    assert found.low > 0
    assert found.word == "reproduced"


def test_a_sure_difference_across_the_margin_is_inconclusive():
    found = verdict(cell(), [20.3, 20.6, 20.4])
    assert 0 < found.low < found.margin < found.high
    assert found.word == "inconclusive"


def test_the_number_of_seeds_that_would_decide():
    found = verdict(cell(), [20.5, 19.6, 20.2])
    assert found.word == "inconclusive"
    mean, std = np.mean([20.5, 19.6, 20.2]), np.std([20.5, 19.6, 20.2], ddof=1)
    for count, decided in ((found.seeds_needed - 1, False), (found.seeds_needed, True)):
        low, high = interval(cell(), mean - 20, std, count)
        assert (-found.margin <= low and high <= found.margin) == decided
    assert f"{found.seeds_needed} seeds in all would decide" in found.sentence


@pytest.mark.parametrize("words", [{}, {"std": 2.0, "n": 5}])
def test_where_no_number_of_seeds_decides(words):
    found = verdict(cell(**words), [20.5, 20.51, 20.49] if not words else [20.1, 20.2, 20.3])
    assert (found.word, found.seeds_needed) == ("inconclusive", None)
    assert "would not decide" in found.sentence


def test_one_run_decides_nothing():
    found = verdict(cell(), [20.1])
    assert (found.word, found.low, found.seeds_needed) == ("single run", None, 2)
    assert found.difference == pytest.approx(0.1)
    assert "within the margin of ±0.50 points" in found.sentence


def test_words_without_numbers():
    assert verdict(cell(), []).word == "not run"
    assert verdict(cell(not_runnable="no such data"), [1.0, 2.0]).word == "not runnable"
    other = verdict(cell(protocol="other", note="mean of ten crops"), [20.0, 20.1])
    assert (other.word, "mean of ten crops" in other.sentence) == ("other protocol", True)


def test_an_unknown_protocol_is_said():
    found = verdict(cell(protocol="unknown", nearest="error/last"), [20.0, 20.1])
    assert found.word == "reproduced"
    assert found.sentence.endswith("The paper does not state its protocol; ours is last.")


@pytest.mark.parametrize(
    ("words", "margin"),
    [
        ({"value": 20.0}, 0.5),
        ({"value": 3.0}, 0.3),
        ({"value": 97.0, "metric": "top1_acc"}, 0.3),
        ({"value": 0.2, "unit": "nats", "metric": "nll", "digits": 3}, 0.02),
        ({"value": 1.2, "unit": "nats", "metric": "nll", "digits": 3}, 0.05),
        ({"value": 120.0, "unit": "score", "metric": "cider"}, 0.5),
        ({"value": 3.0, "unit": "score", "metric": "bleu4"}, 0.3),
        ({"value": 3.0, "digits": 0}, 0.5),  # printed to whole points: no finer than that
    ],
)
def test_the_margin(words, margin):
    assert equivalence_margin(cell(**words)) == pytest.approx(margin)
    assert "margin" in verdict(cell(**words), [1.0, 2.0]).sentence


def test_all_words_are_listed():
    assert len(set(WORDS)) == 9
