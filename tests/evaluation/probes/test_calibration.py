from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.evaluation.probes.calibration import Calibration
from msda_train.functional import calibration as measures


def test_the_numbers_are_those_of_the_test_logits(toy_subject):
    subject = toy_subject()
    found = Calibration()(subject)
    log_p, y = measures.log_probabilities(subject.test_logits), subject.labels()
    assert found.numbers["ece_15"] == measures.binned(log_p, y, 15).ece
    assert found.numbers["oe_100"] == measures.binned(log_p, y, 100).oe
    assert found.numbers["nll"] == measures.nll(log_p, y)
    assert {"mce_15", "ece_100", "oe_15", "brier", "confidence", "temperature", "ts_ece_15", "ts_nll"} <= set(
        found.numbers
    )
    assert all(np.isfinite(value) for value in found.numbers.values())
    assert found.arrays["count_15"].sum() == found.arrays["ts_count_100"].sum() == 150
    assert len(found.arrays["accuracy_15"]) == 15


def test_the_temperature_comes_from_training_images_and_says_so(toy_subject):
    subject = toy_subject()
    found = Calibration(validation=0.25)(subject)
    x, y = subject.images.x_train[180:], torch.from_numpy(subject.images.y_train[180:])
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    expected = measures.fit_temperature(subject.logits(pixels).detach(), y)
    assert found.numbers["temperature_0.25"] == pytest.approx(expected)
    assert "ts_0.25_ece_15" in found.numbers
    assert "60 training images that the network was trained on" in found.remarks[0]


def test_held_out_images_are_preferred(toy_subject, toy_images):
    x, y = toy_images.x_test[:50], toy_images.y_test[:50]
    subject = toy_subject(images=replace(toy_images, left_out=lambda: (x, y)))
    found = Calibration()(subject)
    expected = measures.fit_temperature(subject.test_logits[:50], torch.from_numpy(y))
    assert found.numbers["temperature"] == pytest.approx(expected)
    assert "left out" in found.remarks[0]


def test_the_temperature_never_sees_corrupted_labels(toy_subject, toy_images):
    noisy = replace(toy_images, y_train=(toy_images.y_train + 1) % 3, y_clean=toy_images.y_train)
    found = Calibration()(toy_subject(images=noisy)).numbers
    assert found["temperature"] == Calibration()(toy_subject()).numbers["temperature"]


class Overconfident(nn.Module):
    """The network's logits times sixteen."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return 16 * self.network(x)


def test_scaling_undoes_overconfidence(toy_subject, toy_network):
    plain = Calibration()(toy_subject()).numbers
    sure = Calibration()(toy_subject(Overconfident(toy_network()))).numbers
    assert sure["temperature"] == pytest.approx(16 * plain["temperature"], rel=1e-5)
    assert sure["nll"] > plain["nll"]
    for key in ("ts_nll", "ts_brier", "ts_ece_15"):
        assert sure[key] == pytest.approx(plain[key], rel=1e-4)


def test_a_temperature_at_the_end_of_its_range_is_remarked(toy_subject, toy_images, toy_network):
    right = toy_subject().test_logits.argmax(1).numpy()
    subject = toy_subject(images=replace(toy_images, left_out=lambda: (toy_images.x_test, right)))
    found = Calibration()(subject)
    assert found.numbers["temperature"] == pytest.approx(measures.COLDEST)
    assert any("end of its range" in remark for remark in found.remarks)


def test_mc_dropout_is_a_mean_of_probabilities_and_leaves_no_trace(toy_subject, toy_network):
    subject = toy_subject(toy_network(dropout=0.5))
    before = torch.random.get_rng_state()
    probe = Calibration(mc_dropout=0.3, samples=5)
    found, again = probe(subject), probe(subject)
    assert found.numbers == again.numbers
    assert torch.equal(before, torch.random.get_rng_state())
    layer = subject.network[3]
    assert layer.p == 0.5
    assert not any(module.training for module in subject.network.modules())
    assert found.numbers["mc_p0.3_n5_confidence"] < found.numbers["confidence"]
    other = probe(toy_subject(subject.network, seed=1))
    assert other.numbers["mc_p0.3_n5_nll"] != found.numbers["mc_p0.3_n5_nll"]
    none = Calibration(mc_dropout=0.0, samples=2)(subject).numbers  # nothing dropped: the network itself
    assert none["mc_p0_n2_ece_15"] == pytest.approx(none["ece_15"], abs=1e-6)


def test_no_dropout_layers_is_a_remark(toy_subject):
    found = Calibration(mc_dropout=0.3)(toy_subject())
    assert not any(key.startswith("mc_") for key in found.numbers)
    assert any("no dropout layers" in remark for remark in found.remarks)


class Gone(nn.Module):
    """A network whose checkpoint is lost."""

    def forward(self, x):
        raise UserError("there is no checkpoint")


def test_stored_logits_are_enough_for_the_plain_numbers(toy_subject):
    whole = toy_subject()
    stored = whole.test_logits.numpy().astype(np.float16)
    found = Calibration()(toy_subject(Gone(), stored_logits=stored))
    assert found.numbers["ece_15"] == pytest.approx(Calibration()(whole).numbers["ece_15"], abs=0.01)
    assert "temperature" not in found.numbers
    assert "no checkpoint" in found.remarks[0]


def test_logits_that_are_not_finite(toy_subject):
    stored = np.full((150, 3), np.inf, dtype=np.float16)
    with pytest.raises(UserError, match="finite"):
        Calibration()(toy_subject(stored_logits=stored))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"bins": 15}, "bins"),
        ({"bins": []}, "bins"),
        ({"bins": [0]}, "bins"),
        ({"validation": 0}, "validation"),
        ({"validation": 1.5}, "validation"),
        ({"mc_dropout": -0.1}, "mc_dropout"),
        ({"samples": 0}, "samples"),
    ],
)
def test_bad_options_are_named(options, word):
    with pytest.raises(UserError, match=f"probes.calibration.{word}") as caught:
        Calibration(**options)
    assert "\n" not in str(caught.value)
