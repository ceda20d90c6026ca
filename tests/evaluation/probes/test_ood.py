from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Arrays
from msda_train.data.images import Images
from msda_train.data.moments import channel_moments
from msda_train.evaluation.probes.calibration import Calibration
from msda_train.evaluation.probes.ood import Ood, scores
from msda_train.evaluation.probes.out_sets import Noise, Pictures, random_crops, with_channels
from msda_train.functional.detection import detection_numbers

KEYS = {"auroc", "aupr_in", "aupr_out", "fpr95", "tnr95", "detection_accuracy"}


@dataclass(frozen=True)
class Coloured(Dataset):
    """Thirty RGB images 12x10, made up on the spot."""

    sources: ClassVar = ("embedded",)
    source: str = "embedded"

    def official_facts(self, folder):
        return [self.name]

    def read_official(self, folder):
        rng = np.random.default_rng(3)
        x = rng.integers(0, 256, (60, 12, 10, 3), dtype=np.uint8)
        y = np.arange(60) % 2
        return Arrays(x[:30], y[:30], x[30:], y[30:], ("a", "b"))


@pytest.fixture
def coloured(tmp_path):
    return Coloured(name="coloured", cache=str(tmp_path))


def test_the_score_orders_as_the_largest_probability_does():
    logits = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    confidence = logits.double().softmax(1).amax(1)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores(logits))), confidence, rtol=1e-12)
    sure = torch.tensor([[40.0, 0.0], [50.0, 0.0], [40.0, 40.0]])
    assert sure.softmax(1).amax(1).tolist()[:2] == [1, 1]  # they would tie
    assert scores(sure).tolist() == [40, 50, 0]


def test_noise_sets(toy_subject):
    subject = toy_subject()
    found = Ood()(subject)
    assert set(found.numbers) == {
        f"{name}/{key}" for name in ("gaussian", "uniform", "mean_of_2") for key in KEYS
    }
    for key in KEYS:
        mean = (found.numbers[f"gaussian/{key}"] + found.numbers[f"uniform/{key}"]) / 2
        assert found.numbers[f"mean_of_2/{key}"] == pytest.approx(mean)
    assert found.arrays["histogram_in"].sum() == found.arrays["histogram_uniform"].sum() == 150
    assert len(found.arrays["edges"]) == len(found.arrays["histogram_in"]) + 1
    assert Ood()(subject).numbers == found.numbers
    assert Ood()(toy_subject(seed=1)).numbers != found.numbers
    assert (
        found.numbers["uniform/auroc"] == Ood({"uniform": Noise("uniform")})(subject).numbers["uniform/auroc"]
    )


def test_the_numbers_are_those_of_the_networks_confidence(toy_subject, toy_network):
    subject, seen = toy_subject(), []
    plain = subject.network.forward
    subject.network.forward = lambda x: seen.append(plain(x)) or seen[-1]
    found = Ood({"uniform": Noise("uniform", images=70)})(subject)
    inside, outside = (z.softmax(1).amax(1).numpy() for z in seen)
    assert (len(inside), len(outside)) == (150, 70)
    for key, value in detection_numbers(inside, outside).items():
        assert found.numbers[f"uniform_n70/{key}"] == pytest.approx(value)


def test_temperature_and_dropout_change_the_confidence_and_nothing_else(toy_subject, toy_network):
    subject = toy_subject(toy_network(dropout=0.5))
    sets = {"uniform": Noise("uniform", images=70), "gaussian": Noise("gaussian", images=40)}
    plain = Ood(sets)(subject)
    found = Ood(sets, temperature=True, mc_dropout=0.3, samples=4)(subject)
    assert {name: found.numbers[name] for name in plain.numbers} == plain.numbers
    assert len(found.numbers) == 3 * len(plain.numbers)
    assert found.arrays.keys() == plain.arrays.keys()
    by_name = {record["name"]: record for record in found.records}
    assert by_name["uniform_n70_ts/auroc"]["scaling"] == "temperature"
    assert by_name["mean_of_2_mc_p0.3_n4/auroc"]["samples"] == 4
    both = [found.numbers[f"{name}_ts/fpr95"] for name in ("uniform_n70", "gaussian_n40")]
    assert found.numbers["mean_of_2_ts/fpr95"] == pytest.approx(np.mean(both))

    pixels = [out.pixels(subject, None, generator(0, f"probe/ood/{word}")) for word, out in sets.items()]
    outside = subject.network(subject.normalise(torch.cat(list(pixels[0].batches)))).detach()
    temperature = Calibration()(subject).numbers["temperature"]
    sides = [(z / temperature).softmax(1).amax(1).numpy() for z in (subject.test_logits, outside)]
    for key, value in detection_numbers(*sides).items():
        assert found.numbers[f"uniform_n70_ts/{key}"] == pytest.approx(value, abs=1e-6)


def test_under_dropout_the_mean_probability_counts(toy_subject, toy_network):
    """Nothing dropped: the network itself. Something dropped: another number, the same each time."""
    subject = toy_subject(toy_network(dropout=0.5))
    sets = {"uniform": Noise("uniform", images=70)}
    none = Ood(sets, mc_dropout=0.0, samples=2)(subject).numbers
    assert none["uniform_n70_mc_p0_n2/auroc"] == pytest.approx(none["uniform_n70/auroc"], abs=1e-6)
    some, again = (Ood(sets, mc_dropout=0.5, samples=3)(subject).numbers for _ in range(2))
    assert some == again
    assert some["uniform_n70_mc_p0.5_n3/aupr_in"] != some["uniform_n70/aupr_in"]
    assert not any(module.training for module in subject.network.modules())
    bare = Ood(sets, mc_dropout=0.5)(toy_subject())
    assert not any("_mc_" in name for name in bare.numbers)
    assert any("no dropout layers" in remark for remark in bare.remarks)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": 1}, "temperature=1"),
        ({"validation": 0}, "validation=0"),
        ({"mc_dropout": 2.0}, "mc_dropout=2"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_bad_options_are_named(options, word):
    with pytest.raises(UserError, match=rf"probes\.ood\.{word}"):
        Ood(**options)


def test_moments_of_gaussian_noise(toy_subject):
    subject = toy_subject()
    rng = np.random.default_rng(0)
    drawn = torch.cat(
        list(Noise("gaussian", mean=0.5, std=0.1, images=2000).pixels(subject, None, rng).batches)
    )
    assert drawn.shape == (2000, 1, 8, 8)
    assert drawn.mean() == pytest.approx(0.5, abs=0.002)
    assert drawn.std() == pytest.approx(0.1, abs=0.002)
    made = Noise().pixels(subject, None, np.random.default_rng(0))
    mean, std = channel_moments(subject.images.x_test)
    assert mean[0] == pytest.approx(subject.images.x_test.mean() / 255)
    assert std[0] == pytest.approx(subject.images.x_test.std() / 255)
    assert f"{mean[0]:.3f} +- {std[0]:.3f}" in made.remark
    wide = torch.cat(list(Noise("gaussian", mean=0.5, std=1).pixels(subject, 40, rng).batches))
    assert (len(wide), wide.min(), wide.max()) == (40, 0, 1)


def test_names_say_what_changes_a_number(toy_subject):
    sets = {"a": Noise(mean=0.5, std=1), "b": Noise(images=20), "c": None}
    found = Ood(sets, images=30)(toy_subject())
    names = {key.partition("/")[0] for key in found.numbers}
    assert names == {"gaussian_0.5_1_n30", "gaussian_n20_n30", "mean_of_2_n30"}
    assert found.arrays["histogram_gaussian_0.5_1_n30"].sum() == found.arrays["histogram_in"].sum() == 30
    assert found.arrays["histogram_gaussian_n20_n30"].sum() == 20


@pytest.mark.parametrize("fit", ["resize", "crop"])
def test_pictures_of_another_size_and_colour(fit, toy_subject, coloured):
    found = Ood({"x": Pictures(coloured, fit)})(toy_subject())
    assert {key.partition("/")[0] for key in found.numbers} == {f"coloured_{fit}"}
    (remark,) = found.remarks
    assert "30 test images of coloured" in remark
    assert "12x10 to 8x8" in remark
    assert "RGB to luma" in remark


def test_a_config_node_may_be_a_data_set(toy_subject, tmp_path):
    node = {"_target_": f"{__name__}.Coloured", "name": "coloured", "cache": str(tmp_path)}
    from_node = Ood({"x": node})(toy_subject()).numbers
    whole = {"_target_": "msda_train.evaluation.probes.out_sets.Pictures", "dataset": node}
    assert Ood({"x": whole})(toy_subject()).numbers == from_node
    assert "coloured_resize/auroc" in from_node


def test_pictures_that_fit_already(toy_subject, coloured):
    whole = coloured.examples()
    own = replace(whole, x_test=np.array(whole.x_test), content="0ther")
    network = nn.Sequential(nn.Flatten(), nn.Linear(360, 3))
    subject = toy_subject(network, images=own, mean=[0.0] * 3, std=[1.0] * 3)
    plain = Ood({"x": coloured})(subject)
    assert {key.partition("/")[0] for key in plain.numbers} == {"coloured"}
    assert plain.numbers["coloured/auroc"] == 0.5  # the same images, under another content
    named = Ood({"a": Pictures(coloured, "crop"), "b": Pictures(coloured, "resize")})(subject).numbers
    assert named["coloured_crop/auroc"] == named["coloured_resize/auroc"] == 0.5


def test_crops_and_channels_by_hand():
    x = np.arange(2 * 5 * 4, dtype=np.uint8).reshape(2, 5, 4, 1)
    seen = set()
    for seed in range(60):
        crops = random_crops(x, 4, 3, np.random.default_rng(seed))
        assert crops.shape == (2, 4, 3, 1)
        for k in range(2):
            found = [
                (t, s) for t in range(2) for s in range(2) if (x[k, t : t + 4, s : s + 3] == crops[k]).all()
            ]
            assert len(found) == 1
            seen |= {(k, *found[0])}
    assert len(seen) == 8  # every place is drawn
    grey = torch.rand(2, 1, 3, 3)
    assert torch.equal(with_channels(grey, 3), grey.repeat(1, 3, 1, 1))
    torch.testing.assert_close(with_channels(with_channels(grey, 3), 1), grey)
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 1
    assert with_channels(red, 1).item() == pytest.approx(0.299)


def test_what_is_not_here_is_left_out_with_what_to_type(toy_subject, tmp_path):
    from msda_train.data.svhn import Svhn

    svhn = Svhn(name="svhn", source="download", root=str(tmp_path), cache=str(tmp_path / "cache"))
    lsun = Pictures(Dataset(name="lsun"), fit="crop")
    found = Ood({"svhn": svhn, "lsun": lsun, "uniform": Noise("uniform")})(toy_subject())
    assert {key.partition("/")[0] for key in found.numbers} == {"uniform"}
    assert any("svhn left out" in remark and "msda-data prepare svhn" in remark for remark in found.remarks)
    assert any("lsun left out" in remark and "root=FOLDER" in remark for remark in found.remarks)
    assert not any(tmp_path.iterdir())  # nothing was downloaded
    with pytest.raises(UserError, match="msda-data prepare svhn"):
        Ood({"svhn": svhn})(toy_subject())


def test_the_runs_own_set_is_no_out_set(toy_subject, coloured):
    own = coloured.examples()
    logits = np.random.default_rng(0).standard_normal((30, 3))
    subject = toy_subject(nn.Sequential(nn.Flatten(), nn.Linear(360, 3)), images=own, stored_logits=logits)
    with pytest.raises(UserError, match="coloured is the data set of the run itself"):
        Ood({"x": coloured})(subject)
    found = Ood({"x": coloured, "uniform": Noise("uniform")})(subject)
    assert {key.partition("/")[0] for key in found.numbers} == {"uniform"}
    assert any("x left out: coloured is the data set" in remark for remark in found.remarks)


def test_two_sets_of_one_name(toy_subject):
    with pytest.raises(UserError, match="gaussian is there already"):
        Ood({"a": Noise(), "b": Noise()})(toy_subject())


def test_too_small_to_crop(toy_subject, tmp_path, toy_images):
    big = Images(
        np.zeros((3, 32, 32, 1), np.uint8), np.arange(3), np.zeros((3, 32, 32, 1), np.uint8), np.arange(3),
        ("a", "b", "c"), "big", "b19", False,
    )  # fmt: skip
    subject = toy_subject(images=big, stored_logits=np.zeros((3, 3), np.float16))
    with pytest.raises(UserError, match="smaller images"):
        Ood({"x": Pictures(Coloured(name="coloured", cache=str(tmp_path)), "crop")})(subject)


@pytest.mark.parametrize(
    "sets",
    [
        None,
        [],
        {},
        {"a": None},
        {"a": 3},
        {"a": {"_target_": "msda_train.evaluation.probes.out_sets.Noise", "kind": "pink"}},
        {"a": {"_target_": "msda_train.evaluation.probes.out_sets.Noise", "mean": 0.5}},
        {"a": {"_target_": "msda_train.evaluation.probes.out_sets.Noise", "images": 0}},
        {"a": {"_target_": "msda_train.evaluation.probes.out_sets.Pictures", "dataset": "svhn"}},
        {"a": {"_target_": "msda_train.functional.losses.smooth", "target": 1, "epsilon": 0}},
        {"a": {"kind": "gaussian"}},
    ],
)
def test_bad_sets_are_named(sets):
    with pytest.raises(UserError, match=r"probes\.ood") as caught:
        Ood(sets)
    assert "\n" not in str(caught.value)
