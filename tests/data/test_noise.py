"""Wrong labels on purpose, and images left out on purpose."""

import numpy as np
import pytest

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.noise import corrupted


def digits(*words):
    return build("dataset", compose("dataset=digits", *words).dataset).examples()


def test_the_asked_share_is_redrawn_over_all_classes():
    y = np.arange(20_000) % 10
    noisy = corrupted(y, 0.8, 10, np.random.default_rng(0))
    assert np.array_equal(y, np.arange(20_000) % 10)
    assert (noisy != y).mean() == pytest.approx(0.8 * 0.9, abs=0.01)  # a tenth is right by chance
    wrong = np.bincount(noisy[noisy != y], minlength=10)
    assert wrong.min() > 0.9 * wrong.mean()
    assert np.array_equal(corrupted(y, 0.0, 10, np.random.default_rng(0)), y)


def test_a_data_set_keeps_the_true_labels_too():
    plain, noisy = digits(), digits("dataset.label_noise=0.5")
    assert np.array_equal(noisy.y_clean, plain.y_train)
    assert np.array_equal(noisy.y_test, plain.y_test)
    assert (noisy.y_train != noisy.y_clean).mean() == pytest.approx(0.45, abs=0.03)
    assert np.array_equal(noisy.y_train, digits("dataset.label_noise=0.5").y_train)
    other = digits("dataset.label_noise=0.5", "dataset.label_noise_seed=1")
    assert not np.array_equal(noisy.y_train, other.y_train)
    assert plain.y_clean is None


def test_what_a_subset_leaves_out_is_held_out():
    whole, part = digits(), digits("dataset.subset=1000")
    x, y = part.held_out
    assert whole.held_out is None
    assert len(x) == len(y) == 437
    rows = {image.tobytes() for image in part.x_train}
    assert not any(image.tobytes() in rows for image in x[:50])
    assert len(np.unique(y)) == 10


@pytest.mark.parametrize("share", [-0.1, 1.5, "x"])
def test_a_share_is_a_share(share):
    with pytest.raises(UserError, match=r"dataset\.label_noise="):
        digits(f"dataset.label_noise={share}")
