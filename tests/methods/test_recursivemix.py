"""RecursiveMix: what is pasted and what it is called, the second loss by hand, one epoch at a time."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.functional.losses import cross_entropy
from msda_train.methods.recursivemix import RecursiveMix
from msda_train.models.second_head import heads, take_features
from msda_train.models.trained import load_network


class Pinned:
    """Draws a box of 4 x 6 pixels of 8 x 12 around (4, 3)."""

    def uniform(self, low, high, n):
        return np.full(n, 0.25)

    def integers(self, low, high, n=None):
        place = 4 if high == 8 else 3
        return place if n is None else np.full(n, place)


@pytest.fixture
def network():
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1]")
    return build("model", cfg.model, classes=5, channels=3)


def test_first_step_of_an_epoch_mixes_nothing(batch):
    x, y = batch
    method = RecursiveMix()
    assert torch.equal(method.plan(x, y, None, np.random.default_rng(0)).pixels(x), x)
    method.remember(x, torch.eye(10)[:8], torch.zeros(8, 10))
    assert method.plan(x, y, None, np.random.default_rng(0)).depth == 0
    assert method.anew().plan(x, y, None, np.random.default_rng(0)).depth < 0
    assert method == method.anew()


@pytest.mark.parametrize("count", [4, 3])
def test_equals_the_slow_loop(count):
    """A smaller last batch gets the first images of the one before."""
    old, labels = torch.randn(4, 2, 8, 12), torch.rand(4, 5)
    x, y = torch.randn(count, 2, 8, 12), torch.arange(count)
    method = RecursiveMix()
    method.remember(old, labels, torch.randn(4, 5))
    mix = method.plan(x, y, None, Pinned())
    mixed, target = mix.pixels(x), mix.target(y, 5)
    for i in range(count):
        for row in range(8):
            for column in range(12):
                inside = 2 <= row < 6 and column < 6
                pixel = old[i, :, (row - 2) * 2, column * 2] if inside else x[i, :, row, column]
                assert torch.equal(mixed[i, :, row, column], pixel)
        torch.testing.assert_close(target[i], 0.75 * F.one_hot(y[i], 5) + 0.25 * labels[i])
    assert torch.equal(mix.lam, torch.tensor([0.75]))


def test_images_of_images(batch):
    """Three steps: a label holds the classes of all three images, and the pixels are of all three."""
    x, _ = batch
    method, seen = RecursiveMix(alpha=1.0), []
    for step in range(3):
        y = torch.full((8,), step)
        mix = method.plan(torch.full_like(x, float(step)), y, None, np.random.default_rng(step))
        pixels, target = mix.pixels(torch.full_like(x, float(step))), mix.target(y, 3)
        method.remember(pixels, target, target)
        seen.append(target[0])
    torch.testing.assert_close(seen[2].sum(), torch.tensor(1.0))
    assert (seen[2] > 0).all()
    assert sorted(pixels.unique().tolist()) == [0, 1, 2]


def test_bilinear_is_torchvisions_with_corners(batch):
    x, y = batch
    method = RecursiveMix(resize="bilinear")
    method.remember(x.flip(0), torch.eye(10)[:8], torch.zeros(8, 10))
    mix = method.plan(x, y, None, np.random.default_rng(3))
    (rows,), (columns,) = (torch.nonzero(mix.mask[0, 0].min(dim).values == 0).T for dim in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    size = (int(bottom - top), int(right - left))
    expected = F.interpolate(x.flip(0), size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(mix.pixels(x)[:, :, top:bottom, left:right], expected)


@pytest.mark.parametrize("head", ["own", "shared"])
@pytest.mark.parametrize(("roi", "cells"), [("box", (2, 0)), ("mirrored", (0, 2))])
def test_the_second_loss_by_hand(head, roi, cells, network):
    """A box of 8 x 8 of 32 x 32 pixels at rows 16 to 24 is 2 x 2 cells of the 8 x 8 map: their mean, sampled
    at their centres."""
    method = RecursiveMix(omega=0.3, head=head, roi=roi)
    method.extend(network, 5)
    network.stages[-1][0].train()
    features, old = torch.randn(4, 8, 8, 8), torch.randn(4, 5)
    box = torch.tensor([[0, 16, 8, 24] if roi == "box" else [16, 0, 24, 8]]) / 32
    logits, target = torch.randn(4, 5), torch.rand(4, 5).softmax(1)
    network.stages[-1][0](features)
    rows = (old, box, torch.tensor([1 - 64 / 1024]))
    found = method.consistent(logits, target, rows, network, cross_entropy)
    row, column = (2 * c for c in cells)
    pooled = features[:, :, row : row + 2, column : column + 2].mean((2, 3))
    said = (network.second if head == "own" else network.stages[-1][-1])(pooled)
    expected = cross_entropy(logits, target) + 0.3 * 64 / 1024 * cross_entropy(said, old.softmax(1))
    torch.testing.assert_close(found, expected)


def test_a_step_by_hand(network, batch):
    """Through the one training step: the loss has the second term, and its head moves."""
    from msda_train.training.device import Compute
    from msda_train.training.step import Step
    from msda_train.training.update import Update

    x, _ = batch
    y = torch.arange(8) % 5
    method = RecursiveMix(omega=2.0).anew()
    method.extend(network, 5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    compute = Compute(torch.device("cpu"), "fp32", False)
    update = Update(network, network, cross_entropy, optimizer, compute)
    step = Step(method, lambda x, _: x, 5, update)
    first = step(x, y, np.random.default_rng(0))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    mix = method.plan(x, y, None, np.random.default_rng(1))
    with torch.no_grad():
        logits = network(mix.pixels(x))
    _, second = heads(network)
    expected = method.consistent(logits, mix.target(y, 5), mix.loss.rows, network, cross_entropy).item()
    found = step(x, y, np.random.default_rng(1))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert found.item() > cross_entropy(logits, mix.target(y, 5)).item()
    assert first.item() > 0
    assert not torch.equal(second.weight, before["second.weight"])


def test_a_run_and_its_network(go):
    """The head is trained and resumed with the network, and left out of it when the run is opened."""
    words = ["method=recursivemix", "recipe.epochs=3", "recipe.lr=0.02"]
    path = go(*words)
    state = torch.load(path.with_name("checkpoint.pt"), weights_only=True)
    assert "second.weight" in state["model"]
    network, _ = load_network(path.parent)
    assert not hasattr(network, "second")
    history = json.loads(path.read_text())["history"]
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        (["model=mlp"], "method: needs a network that ends in average pooling"),
        (["devices=2"], "devices=2: RecursiveMix works on one device"),
        (["method.alpha=2"], r"method\.alpha=2"),
        (["method.omega=-1"], r"method\.omega=-1"),
        (["method.head=both"], r"method\.head=both"),
        (["method.roi=x"], r"method\.roi=x"),
        (["method.resize=x"], r"method\.resize=x"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=recursivemix", *words)
        assert "\n" not in str(caught.value)


def test_features_are_taken_once(network):
    RecursiveMix(head="shared").extend(network, 5)
    network(torch.zeros(2, 3, 16, 16))
    assert take_features(network).shape == (2, 8, 8, 8)
    with pytest.raises(AssertionError):
        take_features(network)
    assert isinstance(heads(network)[1], nn.Linear)
