"""SUMix: its label weights and its two losses against a loop over images; the second head; both variants."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.functional.losses import cross_entropy
from msda_train.methods.cutmix import CutMix
from msda_train.methods.mixup import Mixup
from msda_train.methods.sumix import SUMix

CNN = ["model=preactresnet18", "model.width=4", "model.blocks=[1,1]"]
VIT = [
    "model=deit_s",
    "model.size=[32,32]",
    "model.patch=8",
    "model.width=8",
    "model.depth=1",
    "model.heads=2",
]


def _network(words):
    torch.manual_seed(0)
    network = build("model", compose(*words).model, classes=10, channels=3).train()
    SUMix().extend(network, 10)
    return network


def _unit(v):
    return v / (v**2).sum().sqrt()


@pytest.mark.parametrize("words", [CNN, VIT], ids=["cnn", "vit"])
@pytest.mark.parametrize("variant", ["authors", "jax"])
@pytest.mark.parametrize("weight", ["batch", "sample"])
def test_the_losses_by_a_slow_loop(batch, words, variant, weight):
    x, y = batch
    network, method = _network(words), SUMix(alpha=1, gamma=0.3, weight=weight, variant=variant)
    mix = method.plan(x, y, network, np.random.default_rng(1))
    target, logits = mix.target(y, 10), 2 * network(mix.pixels(x))
    pooling, own = network.stages[-1][-2], network.stages[-1][-1]
    unsure = torch.stack([_unit(v) for v in network.second(pooling.pool(pooling.kept)).softmax(1)])
    said, lam = logits.detach().softmax(1), mix.lam[-1].item()
    assert own.weight.shape == network.second.weight.shape
    weights, main, second = [], [], 0.0
    for i in range(8):
        j = mix.perm[8 + i].item()
        p, q, mixed = said[i].clone(), said[j].clone(), said[8 + i]
        p[y[j]], q[y[i]] = 0, 0
        scale = 8 if variant == "authors" else 1
        alpha, other = (scale * _unit((mixed - v).softmax(0)) for v in (p, q))
        mine, its = lam * (-alpha[y[i]]).exp(), (1 - lam) * (-other[y[j]]).exp()
        weights.append((mine / (mine + its)).item())
        main.append([F.cross_entropy(logits[8 + i], y[k]) for k in (i, j)])
        for k, part, a in ((i, lam, alpha), (j, 1 - lam, other)):
            found = -(unsure[k] + unsure[8 + i] + a)
            found = found.exp() if variant == "authors" else found
            second = second + 0.3 * part * F.cross_entropy(found, y[k]) / 8
    if weight == "batch":
        weights = [sum(weights) / 8] * 8
    first = sum(w * a + (1 - w) * b for w, (a, b) in zip(weights, main, strict=True)) / 8
    found = method.judged(logits, target, mix.loss.rows, network, cross_entropy)
    torch.testing.assert_close(found, first + second)
    found.backward()
    assert network.second.weight.grad.abs().max() > 0


@pytest.mark.parametrize(("mixing", "plain"), [("cutmix", CutMix), ("mixup", Mixup)])
def test_pixels_and_labels_are_the_plain_methods(batch, mixing, plain):
    x, y = batch
    mix = SUMix(mixing=mixing).plan(x, y, None, np.random.default_rng(3))
    base = plain(alpha=0.2, prob=1).plan(x, y, None, np.random.default_rng(3))
    assert torch.equal(mix.pixels(x)[:8], x)
    torch.testing.assert_close(mix.pixels(x)[8:], base.pixels(x))
    torch.testing.assert_close(mix.target(y, 10)[8:], base.target(y, 10))
    torch.testing.assert_close(mix.target(y, 10)[:8], F.one_hot(y, 10).float())


def test_where_an_image_is_not_mixed_at_all(batch):
    """lam 1: the label is the image's own, and nothing is NaN."""
    x, y = batch
    network, method = _network(CNN), SUMix(mixing="mixup", weight="sample", gamma=0.0)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    logits = network(mix.pixels(x))
    rows = (*mix.loss.rows[:3], torch.ones(8))
    found = method.judged(logits, mix.target(y, 10), rows, network, cross_entropy)
    torch.testing.assert_close(found, F.cross_entropy(logits[8:], y))


def test_the_coin_leaves_the_second_head_alone(batch):
    x, y = batch
    network, method = _network(CNN), SUMix(prob=0)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    logits, target = network(x), mix.target(y, 10)
    found = mix.loss.of(logits, target, mix.loss.rows, network, cross_entropy)
    assert found.item() == cross_entropy(logits, target).item()
    found.backward()
    assert network.second.weight.grad.abs().max() == 0


def test_it_learns(go):
    path = go("method=sumix", "recipe.epochs=4", "dataset.subset=null", "dataset.test_subset=null")
    errors = [epoch["error"] for epoch in json.loads(path.read_text())["history"]]
    assert errors[-1] < 0.55 < errors[0]


def test_the_second_head_learns(go):
    """In the variant whose loss has a gradient to speak of."""
    path = go("method=sumix", "method.variant=jax", "method.gamma=1", "recipe.epochs=4", "dataset.subset=400")
    state = torch.load(path.with_name("checkpoint.pt"), weights_only=True)["model"]
    assert state["second.weight"].std() > 0.011  # began with 0.01


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        ("method.mixing=fmix", r"method\.mixing=fmix"),
        ("method.gamma=-1", r"method\.gamma=-1"),
        ("method.weight=no", r"method\.weight=no"),
        ("method.variant=no", r"method\.variant=no"),
        ("method.inputs_only=true", r"method\.inputs_only=true: SUMix"),
        ("method.pairing=same_class", r"method\.pairing=same_class: SUMix"),
        ("devices=2", "devices=2: SUMix works on one device"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=sumix", words)
        assert "\n" not in str(caught.value)
