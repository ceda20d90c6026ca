"""By hand, by a slow loop, and against torchmetrics where somebody has it."""

import math

import numpy as np
import pytest
import torch

from msda_train.functional import calibration as measures


def _problem(n=400, classes=5, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(scale * rng.standard_normal((n, classes)))
    return logits, torch.from_numpy(rng.integers(0, classes, n))


def _log(p):
    return torch.tensor(p, dtype=torch.float64).log()


def test_three_samples_by_hand():
    log_p, y = _log([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]), torch.tensor([0, 1, 1])
    found = measures.binned(log_p, y, 2)  # all three lie in (0.5, 1]
    assert found.count.tolist() == [0, 3]
    confidence, accuracy = (0.9 + 0.8 + 0.6) / 3, 2 / 3
    assert found.ece == pytest.approx(confidence - accuracy)
    assert found.oe == pytest.approx(confidence * (confidence - accuracy))
    apart = measures.binned(log_p, y, 10)  # one sample a bin
    assert apart.ece == pytest.approx((0.1 + 0.8 + 0.4) / 3)
    assert apart.mce == pytest.approx(0.8)
    assert apart.oe == pytest.approx(0.8 * 0.8 / 3)  # the others are right: underconfident
    assert measures.brier(log_p, y) == pytest.approx((0.02 + 2 * 0.64 + 2 * 0.16) / 3)
    assert measures.nll(log_p, y) == pytest.approx(-(math.log(0.9) + math.log(0.2) + math.log(0.6)) / 3)
    assert measures.mean_confidence(log_p) == pytest.approx(confidence)


def test_a_confidence_of_exactly_one_counts():
    log_p, y = _log([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    for bins in (1, 15, 100):
        found = measures.binned(log_p, y, bins)
        assert found.count[-1] == 2
        assert found.ece == found.oe == found.mce == 0.5
    assert measures.brier(log_p, y) == 1.0


def test_edges_belong_to_the_lower_bin():
    log_p = _log([[0.5, 0.5], [0.75, 0.25], [0.76, 0.24]])
    assert measures.binned(log_p, torch.zeros(3, dtype=torch.int64), 4).count.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_bins_equal_a_slow_loop(bins):
    logits, y = _problem()
    p = torch.softmax(logits, 1).numpy()
    ece = oe = mce = 0.0
    for m in range(bins):
        members = [i for i in range(len(p)) if m / bins < p[i].max() <= (m + 1) / bins]
        if members:
            confidence = sum(p[i].max() for i in members) / len(members)
            accuracy = sum(int(p[i].argmax()) == int(y[i]) for i in members) / len(members)
            ece += len(members) / len(p) * abs(accuracy - confidence)
            oe += len(members) / len(p) * confidence * max(confidence - accuracy, 0)
            mce = max(mce, abs(accuracy - confidence))
    found = measures.binned(measures.log_probabilities(logits), y, bins)
    assert (found.ece, found.oe, found.mce) == pytest.approx((ece, oe, mce), abs=1e-12)
    assert found.count.sum() == len(p)


def test_accuracy_is_one_minus_the_suites_error():
    from msda_train.functional.metrics import error_count

    logits = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    y = torch.tensor([0, 0, 0])
    wrong = (~measures.right(measures.log_probabilities(logits), y)).sum()
    assert wrong == error_count(logits, y) == 2  # the tie is wrong in both


def test_a_perfectly_calibrated_source_has_no_ece():
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.standard_normal((10_000, 4)))
    p = torch.softmax(logits, 1).numpy()
    y = torch.from_numpy((p.cumsum(1) < rng.random((len(p), 1))).sum(1).clip(max=3))
    found = measures.binned(measures.log_probabilities(logits), y, 15)
    assert found.ece < 0.02
    assert measures.fit_temperature(logits, y) == pytest.approx(1.0, abs=0.06)
    for factor in (0.25, 3.0):  # logits that are too large by a factor need just that temperature
        assert measures.fit_temperature(factor * logits, y) == pytest.approx(
            factor * measures.fit_temperature(logits, y), rel=1e-9
        )


def test_the_temperature_has_the_smallest_nll():
    logits, y = _problem(scale=2.0)
    y[:300] = logits[:300].argmax(1)
    best = measures.fit_temperature(logits, y)

    def nll(temperature):
        return measures.nll(measures.log_probabilities(logits / temperature), y)

    assert measures.COLDEST < best < measures.HOTTEST
    assert all(nll(best) < nll(best * other) for other in (0.5, 0.99, 1.01, 2.0))


def test_the_temperature_of_the_always_and_the_never_right():
    logits, _ = _problem()
    assert measures.fit_temperature(logits, logits.argmax(1)) == pytest.approx(measures.COLDEST)
    assert measures.fit_temperature(logits, logits.argmin(1)) == pytest.approx(measures.HOTTEST)


@pytest.mark.filterwarnings("ignore")
def test_against_torchmetrics():
    import torchmetrics.functional.classification as functional

    logits, y = _problem(n=2_000, scale=1.5)  # away from a confidence of 1.0, which torchmetrics misplaces
    p, log_p = torch.softmax(logits, 1), measures.log_probabilities(logits)
    for bins in (15, 100):
        found = measures.binned(log_p, y, bins)
        for norm, ours in (("l1", found.ece), ("max", found.mce)):
            theirs = functional.multiclass_calibration_error(p, y, num_classes=5, n_bins=bins, norm=norm)
            assert ours == pytest.approx(float(theirs), abs=1e-6)
