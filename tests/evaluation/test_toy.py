"""The toy trains with the real step and methods, and shows what they do to a boundary."""

import numpy as np
import pytest
import torch

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.evaluation.decision_boundary import draw, small_network, toy


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path)


def _right(found):
    """Share of the points on whose side of the drawn field they lie."""
    places = np.abs(found["axis"] - found["points"][..., None]).argmin(axis=-1)
    return ((found["p"][places[:, 1], places[:, 0]] > 0.5) == found["labels"]).mean()


def _sure(found):
    return ((found["p"] < 0.05) | (found["p"] > 0.95)).mean()


def test_methods_learn_and_mixing_is_less_sure():
    words = {"erm": ["method=erm"], "mixup": ["method=mixup"], "manifold": ["method=manifold_mixup"]}
    found = {name: toy(w, shape="moons", n=200, steps=150) for name, w in words.items()}
    for name, field in found.items():
        assert _right(field) > 0.95, name
        assert field["p"].shape == field["hidden_p"].shape == (81, 81)
        assert field["hidden"].shape == (200, 2)
        assert ((field["p"] >= 0) & (field["p"] <= 1)).all()
    assert _sure(found["mixup"]) < _sure(found["erm"]) - 0.1
    assert _sure(found["manifold"]) < _sure(found["erm"]) - 0.1


def test_a_toy_is_a_function_of_its_seed():
    state = torch.random.get_rng_state()
    first = toy(["method=manifold_mixup"], 3, n=40, steps=5)
    again = toy(["method=manifold_mixup"], 3, n=40, steps=5)
    other = toy(["method=manifold_mixup"], 4, n=40, steps=5)
    assert torch.equal(state, torch.random.get_rng_state())
    for key, array in first.items():
        np.testing.assert_array_equal(array, again[key])
    assert not np.array_equal(first["p"], other["p"])


def test_the_hidden_plane_is_where_stage_2_begins():
    found = toy(["method=erm"], n=30, steps=3)
    torch.manual_seed(0)
    network = small_network()
    mixes = torch.randn(4, 2, 1, 1)
    assert network.stages[0](mixes).shape == (4, 64, 1, 1)
    assert network.stages[1](network.stages[0](mixes)).shape == (4, 2, 1, 1)
    assert network(mixes).shape == (4, 2)
    across, up = found["hidden_across"], found["hidden_up"]
    assert across[0] < found["hidden"][:, 0].min() < found["hidden"][:, 0].max() < across[-1]
    assert up[0] < found["hidden"][:, 1].min() < found["hidden"][:, 1].max() < up[-1]


@pytest.mark.parametrize("shape", ["moons", "spirals"])
def test_points(shape):
    points, labels = draw(shape, 1000, generator(0, "test"))
    assert points.shape == (1000, 2)
    assert labels.mean() == 0.5
    assert np.abs(points).max() < 1.3
    if shape == "spirals":  # one spiral is the other, turned by 180 degrees
        radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
        turn = np.exp(1j * (angle - 2.5 * np.pi * radius))
        for label in (0, 1):
            mean = turn[labels == label].mean()
            assert mean.real * (1 - 2 * label) > 0.9


@pytest.mark.parametrize("method", ["cutmix", "hmix", "gmix", "cutout"])
def test_methods_that_cut_are_refused(method):
    with pytest.raises(UserError, match="no parts to cut out") as caught:
        toy([f"method={method}"])
    assert "\n" not in str(caught.value)


def test_partners_of_points_are_those_of_the_class_or_near():
    """Mixed with its own class only, no point between the classes is seen, and the toy learns faster."""
    common = {"shape": "moons", "n": 120, "steps": 120}
    near = toy(["method=mixup", "method.pairing=nearest", "method.neighbours=5"], **common)
    same, plain = (toy(["method=mixup", *w], **common) for w in (["method.pairing=same_class"], []))
    assert near["loss"][-20:].mean() < 0.5 * plain["loss"][-20:].mean()
    assert same["loss"][-20:].mean() < 0.5 * plain["loss"][-20:].mean()
    assert _right(near) > 0.95


def test_noise_can_be_added_to_points():
    assert _right(toy(["method=gaussian_noise"], shape="moons", n=120, steps=120)) > 0.95


def test_a_method_of_ones_own_is_tried(tmp_path, monkeypatch):
    (tmp_path / "halves_of_points.py").write_text(
        "import torch\nfrom msda_train.core.mix import Mix\n"
        "class Half:\n"
        "    def plan(self, x, y, model, rng):\n"
        "        lam = torch.full((1,), 0.5)\n"
        "        return Mix(torch.arange(len(x)).roll(1), lam, lam.view(1, 1, 1, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = toy(["method._target_=halves_of_points.Half"], n=40, steps=5)
    assert np.isfinite(found["loss"]).all()


def test_a_depth_that_is_not_there():
    with pytest.raises(UserError, match=r"method\.depths"):
        toy(["method=manifold_mixup", "method.depths=[3]"])
