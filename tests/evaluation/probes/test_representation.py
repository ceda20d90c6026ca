"""Singular values against NumPy, neighbours against scikit-learn, features against the network by hand."""

import contextlib

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.evaluation.probes.features import hidden
from msda_train.evaluation.probes.representation import (
    Representation,
    class_singular_values,
    neighbour_labels,
)
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.preactresnet import preactresnet
from msda_train.models.wide_resnet import wide_resnet


def _network():
    torch.manual_seed(0)
    return preactresnet([1, 1, 1], 4, "manifold", 1, classes=5, channels=1).eval()


def _subject(network, n=60):
    rng = np.random.default_rng(0)
    x, x_test = (rng.integers(0, 256, (m, 8, 8, 1), dtype=np.uint8) for m in (n, n // 2))
    y, y_test = np.arange(n) % 5, np.arange(n // 2) % 5
    images = Images(x, y, x_test, y_test, tuple("abcde"), name="noise", content="", complete=False)
    cpu = torch.device("cpu")
    return Subject(network, images, [0.5], [0.25], cpu, contextlib.nullcontext, 0, {})


@torch.no_grad()
def test_features_are_those_of_the_network():
    network, x = _network(), torch.randn(3, 1, 8, 8)
    first = network.stages[0](x)
    second = network.stages[1](first)
    third = network.stages[2](second)
    expected = [h.mean(dim=(2, 3)) for h in (first, second, third, third)]
    for found, by_hand in zip(hidden(network, x), expected, strict=True):
        torch.testing.assert_close(found, by_hand)
    torch.testing.assert_close(network.stages[-1][-1](hidden(network, x)[-1]), network(x))


@torch.no_grad()
def test_the_last_feature_is_what_the_classifier_sees():
    torch.manual_seed(0)
    wide = wide_resnet(10, 1, "standard", 0.0, "group", 1, classes=5, channels=1).eval()
    x = torch.randn(3, 1, 8, 8)
    last = hidden(wide, x)[-1]
    assert last.min() >= 0  # after the final ReLU, not the stage's raw output
    torch.testing.assert_close(wide.stages[-1][-1](last), wide(x))
    assert not wide.stages[-1][-1]._forward_pre_hooks  # nothing is left behind


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_neighbours_equal_scikit_learn(distance):
    rng = np.random.default_rng(1)
    train, test = rng.normal(0, 1, (200, 6)) * 3 + 1, rng.normal(0, 1, (50, 6)) * 3 + 1
    y = rng.integers(0, 4, 200)
    float_train, float_test = (torch.from_numpy(a).float() for a in (train, test))
    for k in (1, 4, 9):
        votes = neighbour_labels(float_train, torch.from_numpy(y), float_test, k, distance)
        ours = nn.functional.one_hot(votes, 4).sum(1).argmax(1)
        theirs = KNeighborsClassifier(k, metric=distance, algorithm="brute").fit(train, y).predict(test)
        assert ours.tolist() == theirs.tolist()
    nearest = neighbour_labels(float_train, torch.arange(200), float_train, 1, distance)
    assert nearest[:, 0].tolist() == list(range(200))


def test_singular_values_equal_numpy():
    rng = np.random.default_rng(2)
    features, y = rng.normal(1, 2, (30, 7)), rng.integers(0, 4, 30)
    of_class, of_means = class_singular_values(torch.from_numpy(features), torch.from_numpy(y), 5)
    values = np.zeros((4, 7))
    for k in range(4):
        own = np.linalg.svd(features[y == k], compute_uv=False)
        values[k, : len(own)] = own
    np.testing.assert_allclose(of_class.numpy(), values.mean(axis=0)[: len(of_class)])
    means = np.stack([features[y == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(of_means.numpy(), np.linalg.svd(means, compute_uv=False))


def test_a_flat_class_has_one_singular_value():
    line = torch.outer(torch.arange(1.0, 6.0), torch.tensor([3.0, 4.0]))
    of_class, _ = class_singular_values(line, torch.zeros(5, dtype=torch.int64), 1)
    assert of_class[0].item() == pytest.approx(5 * 55**0.5)
    assert of_class[1].item() == pytest.approx(0, abs=1e-6)


def test_the_probe():
    subject = _subject(_network())
    found = Representation(k=[1, 3])(subject)
    with torch.no_grad():
        train = hidden(subject.network, subject.normalise(next(subject.batches("train"))[0]))[-1]
        pixels, y = next(subject.batches("test"))
        test = hidden(subject.network, subject.normalise(pixels))[-1]
    model = KNeighborsClassifier(3, metric="cosine", algorithm="brute").fit(train, subject.images.y_train)
    assert found.numbers["knn_3_cosine/error"] == pytest.approx(1 - model.score(test, subject.images.y_test))
    of_class, of_means = class_singular_values(test, y, 5)
    assert found.numbers["last/class_largest"] == pytest.approx(of_class[0].item())
    assert found.numbers["last/class_rest"] == pytest.approx(of_class[1:].sum().item())
    assert found.numbers["last/means_largest"] == pytest.approx(of_means[0].item())
    assert found.numbers["stage_0/class_share"] <= 1
    assert {k.split("/")[0] for k in found.numbers} == {
        *("stage_0", "stage_1", "stage_2", "last", "knn_1_cosine", "knn_3_cosine")
    }
    fewer = Representation(k=[1], reference=20, images=10, distance="euclidean")(subject).numbers
    assert "knn_1_euclidean/error" in fewer
    assert fewer["last/class_largest"] < found.numbers["last/class_largest"]


def test_a_foreign_network_is_refused():
    external = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(UserError, match="stages") as caught:
        Representation()(_subject(external))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"k": 5}, "k"), ({"k": [0]}, "k"), ({"distance": "l1"}, "distance"), ({"images": 0}, "images")],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(UserError, match=f"probes.representation.{named}"):
        Representation(**options)


def test_more_neighbours_than_images():
    with pytest.raises(UserError, match="60 training images"):
        Representation(k=[61])(_subject(_network()))
