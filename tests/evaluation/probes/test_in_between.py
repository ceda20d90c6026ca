"""Errors and slopes between images against a loop over pairs, on a network whose gradient is known."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.images import Images
from msda_train.evaluation.probes.in_between import InBetween, inner_box
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.preactresnet import preactresnet

SIDE, MEAN, STD = 8, [0.5], [0.25]


def _subject(network, n=20, side=SIDE):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (n, side, side, 1), dtype=np.uint8)
    x_test = rng.integers(0, 256, (n, side, side, 1), dtype=np.uint8)
    y = np.arange(n) % 4
    images = Images(x, y, x_test, y, ("a", "b", "c", "d"), name="noise", content="", complete=False)
    return Subject(network.eval(), images, MEAN, STD, torch.device("cpu"), contextlib.nullcontext, 5, {})


def _linear():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 4))


@pytest.mark.parametrize("blend", ["mixup", "cutmix"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_equals_a_loop(blend, split, monkeypatch):
    monkeypatch.setattr("msda_train.evaluation.probes.in_between.BATCH", 7)
    subject = _subject(_linear())
    points, pairs = 5, 30
    found = InBetween(points=points, pairs=pairs, splits=[split], blends=[blend])(subject)
    rng = generator(5, f"probe/in_between/{split}")
    first = rng.integers(0, 20, pairs)
    other = (first + rng.integers(1, 20, pairs)) % 20
    place = rng.random((pairs, 2))
    assert (first != other).all()
    x, y = getattr(subject.images, f"x_{split}"), subject.images.y_train
    weight = subject.network[1].weight.detach().double().numpy()
    bias = subject.network[1].bias.detach().double().numpy()
    for point, lam in enumerate([0, 0.25, 0.5, 0.75, 1.0]):
        wrong, slopes = 0, []
        for i, j, (down, across) in zip(first, other, place, strict=True):
            mixed, share = np.zeros((SIDE, SIDE)), lam
            extent = round(SIDE * (1 - lam) ** 0.5)
            if blend == "cutmix":
                share = 1 - extent**2 / SIDE**2
            top = min(int(down * (SIDE - extent + 1)), SIDE - extent)
            left = min(int(across * (SIDE - extent + 1)), SIDE - extent)
            for r in range(SIDE):
                for c in range(SIDE):
                    own, partner = x[i, r, c, 0] / 255, x[j, r, c, 0] / 255
                    boxed = top <= r < top + extent and left <= c < left + extent
                    if blend == "mixup":
                        mixed[r, c] = lam * own + (1 - lam) * partner
                    else:
                        mixed[r, c] = partner if boxed else own
            logits = weight @ ((mixed - 0.5) / 0.25).ravel() + bias
            p = np.exp(logits) / np.exp(logits).sum()
            wrong += logits.argmax() not in (y[i], y[j])
            target = share * np.eye(4)[y[i]] + (1 - share) * np.eye(4)[y[j]]
            slopes.append(np.linalg.norm((p - target) @ weight))
        assert found.arrays[f"{split}_{blend}_error"][point] == pytest.approx(wrong / pairs)
        assert found.arrays[f"{split}_{blend}_gradient"][point] == pytest.approx(np.mean(slopes), rel=1e-4)
    curve = found.arrays[f"{split}_{blend}_gradient"]
    assert found.numbers[f"{split}_{blend}/gradient_max_5"] == pytest.approx(curve.max())
    assert found.numbers[f"{split}_{blend}/gradient_half"] == pytest.approx(curve[2])
    assert found.numbers[f"{split}_{blend}/error_mean_5"] == pytest.approx(
        found.arrays[f"{split}_{blend}_error"].mean()
    )
    assert all(p.grad is None for p in subject.network.parameters())


def test_both_blends_end_at_the_images_themselves():
    found = InBetween(points=3, pairs=40, splits=["test"])(_subject(_linear())).arrays
    for end in (0, 2):
        for of in ("error", "gradient"):
            assert found[f"test_mixup_{of}"][end] == pytest.approx(found[f"test_cutmix_{of}"][end])
    assert found["test_mixup_error"][1] != found["test_cutmix_error"][1]


def test_a_centred_box_is_named_and_is_in_the_middle():
    options = {"points": 3, "pairs": 40, "splits": ["test"], "blends": ["cutmix"]}
    found = InBetween(**options, box="centre")(_subject(_linear())).arrays
    assert set(found) == {"lam", "test_cutmix_centre_error", "test_cutmix_centre_gradient"}
    random = InBetween(**options)(_subject(_linear())).arrays
    ends = [0, 2]
    np.testing.assert_allclose(
        found["test_cutmix_centre_gradient"][ends], random["test_cutmix_gradient"][ends], rtol=1e-6
    )
    assert found["test_cutmix_centre_gradient"][1] != random["test_cutmix_gradient"][1]


def test_inner_boxes_lie_inside_and_reach_every_border():
    place = np.random.default_rng(0).random((500, 2))
    for lam, extent in ((1.0, (0, 0)), (0.75, (16, 6)), (0.0, (32, 12)), (0.96, (6, 2))):
        top, bottom, left, right = inner_box(lam, place, 32, 12).T
        assert {*(bottom - top)} == {extent[0]}
        assert {*(right - left)} == {extent[1]}
        assert (top.min(), bottom.max(), left.min(), right.max()) == (0, 32, 0, 12)
    assert inner_box(0.75, np.array([[0.5, 0.5]]), 32, 32).tolist() == [[8, 24, 8, 24]]


def test_plane_of_blends():
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=4, channels=1)
    subject = _subject(network)
    found = InBetween(points=3, pairs=2, splits=["test"], blends=["mixup"], pca=[0, 2])(subject).arrays
    assert found["pca"].shape == (15, 2)
    assert found["pca_lam"][:5].tolist() == [1.0] * 5
    assert found["pca_lam"][5:10].tolist() == [0.0] * 5
    assert ((found["pca_lam"][10:] > 0) & (found["pca_lam"][10:] < 1)).all()
    plain = found["pca"][:10]
    np.testing.assert_allclose(plain.mean(axis=0), 0, atol=1e-5)
    assert abs(np.corrcoef(plain.T)[0, 1]) < 1e-3  # principal directions
    assert plain[:, 0].var() >= plain[:, 1].var()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"points": 10}, "points"),
        ({"pairs": 0}, "pairs"),
        ({"splits": "test"}, "splits"),
        ({"splits": ["valid"]}, "splits"),
        ({"blends": []}, "blends"),
        ({"box": "left"}, "box"),
        ({"pca": [1, 1]}, "pca"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(UserError, match=f"probes.in_between.{named}"):
        InBetween(**options)


def test_a_network_without_stages_has_no_plane():
    with pytest.raises(UserError, match="stages"):
        InBetween(points=3, pairs=2, splits=["test"], blends=["mixup"], pca=[0, 1])(_subject(_linear()))
