"""Blends of two images in the plane of two principal components, against linear algebra by hand."""

import numpy as np
import pytest

from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.evaluation.principal_plane import blends, classes_of, plane


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    patterns = rng.integers(40, 200, (3, 6, 5, 3))
    x = np.clip(patterns[y] + 30 * rng.standard_normal((120, 6, 5, 3)), 0, 255).astype(np.uint8)
    return Images(x, y, x[:3], y[:3], ("ape", "bee", "cow"), name="made", content="0", complete=False)


def of(*words):
    return compose("dataset=own", *words)


def test_the_components_are_those_of_the_covariance(images):
    found = plane(images, (0, 2))
    flat = images.x_train[images.y_train != 1].reshape(80, -1) / 255
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    for k in (0, 1):
        assert abs(found["components"][k] @ vectors[:, -1 - k]) == pytest.approx(1)
        assert found["share"][k] == pytest.approx(values[-1 - k] / values.sum())
    x = np.concatenate([images.x_train[images.y_train == k] for k in (0, 2)])
    places = (x.reshape(80, -1) / 255 - x.reshape(80, -1).mean(axis=0) / 255) @ found["components"].T
    np.testing.assert_allclose(found["places"], places, atol=1e-9)
    assert found["labels"].tolist() == [0] * 40 + [1] * 40


def test_the_two_images_lie_apart_one_of_each_class(images):
    found = plane(images, (0, 2))
    one, two = found["ends"]
    assert found["labels"][[one, two]].tolist() == [0, 1]
    x = np.concatenate([images.x_train[images.y_train == k] for k in (0, 2)])
    assert np.array_equal(found["own"], x[one])
    assert np.array_equal(found["other"], x[two])
    middles = [found["places"][found["labels"] == k].mean(axis=0) for k in (0, 1)]
    along = found["places"] @ (middles[0] - middles[1])
    assert (along[:40] <= along[one]).sum() == 36
    assert (along[40:] >= along[two]).sum() == 36


def test_mixups_blends_lie_on_the_line_where_their_weight_says(images):
    found = plane(images, (0, 1))
    made = blends(of("method=mixup", "method.alpha=1.0"), found)
    own, other = found["places"][found["ends"]]
    lam = made["lam"][:, None]
    np.testing.assert_allclose(made["places"], lam * own + (1 - lam) * other, atol=1e-5)
    assert len(np.unique(made["lam"])) == 120
    assert made["shown"].shape == (7, 6, 5, 3)
    off = [np.abs(picture - found["own"].astype(int)).mean() for picture in made["shown"].astype(int)]
    assert off == sorted(off, reverse=True)  # from the second image to the first


def test_what_pastes_leaves_the_line_and_shows_pixels_of_both(images):
    found = plane(images, (0, 1))
    made = blends(of("method=cutmix"), found)
    own, other = found["places"][found["ends"]]
    across = np.array([-(own - other)[1], (own - other)[0]]) / np.linalg.norm(own - other)
    assert np.abs((made["places"] - own) @ across).max() > 0.05 * np.linalg.norm(own - other)
    for picture in made["shown"]:
        from_own, from_other = ((picture == found[key]).all(axis=-1) for key in ("own", "other"))
        assert (from_own | from_other).all()


@pytest.mark.parametrize(
    "name", ["fmix", "gmix", "gridmix", "hmix", "manifold_mixup", "resizemix", "smoothmix"]
)
def test_every_method_that_mixes_pairs_is_drawn(images, name):
    made = blends(of(f"method={name}"), plane(images, (0, 1)))
    assert np.isfinite(made["places"]).all()
    assert len(made["lam"]) == 120


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method=erm"], "Erm mixes no pairs, or asks a network"),
        (["method=puzzlemix"], "PuzzleMix mixes no pairs, or asks a network"),
        (["method=comixup"], "CoMixup mixes no pairs"),
        (
            ["method=mixup", "method.pairing=same_class"],
            r"method\.pairing=same_class: the two images are given",
        ),
        (["method=mixup", "method.prob=0"], r"Mixup: none of 2400 draws .* larger method\.prob"),
    ],
)
def test_what_cannot_be_drawn_says_why(images, words, says):
    with pytest.raises(UserError, match=says) as caught:
        blends(of(*words), plane(images, (0, 1)))
    assert "\n" not in str(caught.value)


def test_classes_by_name_and_by_number(images):
    assert classes_of(images, ()) == (0, 1)
    assert classes_of(images, ("cow", "0")) == (2, 0)
    for words, says in (
        (("cow", "bea"), "--classes bea: unknown; did you mean 'bee'"),
        (("cow", "2"), "--classes cow 2: name two different classes"),
    ):
        with pytest.raises(UserError, match=says):
            classes_of(images, words)


def test_a_class_without_images_and_too_few_for_a_plane():
    x, y = np.zeros((2, 4, 4, 1), dtype=np.uint8), np.array([0, 2])
    lone = Images(x, y, x, y, ("a", "b", "c"), name="made", content="0", complete=False)
    assert classes_of(lone, ()) == (0, 2)
    with pytest.raises(UserError, match="--classes b: no training image"):
        classes_of(lone, ("a", "b"))
    with pytest.raises(UserError, match="2 training images; a plane needs three"):
        plane(lone, (0, 2))
