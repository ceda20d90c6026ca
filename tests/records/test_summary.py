"""Aggregates of a run, by hand."""

import pytest

from msda_train.records.summary import PROTOCOLS, summarise


def history(errors, top5=None, nlls=None):
    top5, nlls = top5 or [0.0] * len(errors), nlls or [1.0] * len(errors)
    return [
        {"epoch": epoch, "error": error, "top5_error": five, "nll": nll}
        for epoch, (error, five, nll) in enumerate(zip(errors, top5, nlls, strict=True), start=1)
    ]


def test_three_epochs_by_hand():
    metrics = summarise(history([0.3, 0.1, 0.2], top5=[0.01, 0.03, 0.02], nlls=[0.9, 1.1, 1.0]))
    assert set(metrics) == set(PROTOCOLS)
    assert metrics["error/last"] == 0.2
    assert metrics["error/best"] == 0.1
    assert metrics["error/median_last10"] == 0.2
    assert metrics["nll/best"] == 0.9  # its own minimum, not that of the best epoch
    assert metrics["nll/at_best"] == 1.1
    assert metrics["top5_error/best"] == 0.01
    assert metrics["top5_error/at_best"] == 0.03


def test_the_median_is_of_the_last_ten_and_lies_between_two():
    errors = [0.9, 0.8, 0.10, 0.11, 0.12, 0.13, 0.14, 0.16, 0.17, 0.18, 0.19, 0.20]
    assert summarise(history(errors))["error/median_last10"] == pytest.approx(0.15)


def test_the_first_of_equal_epochs_is_the_best():
    assert summarise(history([0.2, 0.1, 0.1], nlls=[3, 2, 1]))["nll/at_best"] == 2.0


def test_one_epoch_is_everything_and_none_is_an_error():
    assert {value for key, value in summarise(history([0.5])).items() if key.startswith("error")} == {0.5}
    with pytest.raises(ValueError, match="without a finished epoch"):
        summarise([])
