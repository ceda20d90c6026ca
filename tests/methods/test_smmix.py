"""SMMix: which square goes where, by hand and against a loop; its three losses; whose attention."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.functional.losses import cross_entropy
from msda_train.methods import smmix
from msda_train.methods._class_token import look
from msda_train.methods.smmix import SMMix

TINY = ["model=deit_s", "model.size=[16,16]", "model.patch=4", "model.width=16", "model.depth=2"]
TINY += ["model.heads=2", "model.drop_path=0.5"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("model", compose(*TINY).model, classes=10, channels=3).train()


@pytest.fixture
def images():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=draw), torch.randint(0, 10, (8,), generator=draw)


def _windows(attention, side):
    """Sums over all squares, in order of their upper left corners, and these corners."""
    grid, places = attention.view(4, 4), [(r, c) for r in range(5 - side) for c in range(5 - side)]
    return [float(grid[r : r + side, c : c + side].sum()) for r, c in places], places


@pytest.mark.parametrize("pairing", ["reversal", "permutation"])
def test_equals_the_slow_loop(network, images, monkeypatch, pairing):
    x, y = images
    attention, logits = torch.rand(8, 16), torch.randn(8, 10)
    monkeypatch.setattr(smmix, "look", lambda *_: (logits, attention))
    sides = set()
    for seed in range(8):
        method = SMMix(mixup_prob=0, pairing=pairing)
        mix = method.plan(x, y, network, np.random.default_rng(seed))
        side = round((16 * (1 - mix.lam.item())) ** 0.5)
        sides.add(side)
        slow = x.clone()
        for i, j in enumerate(mix.perm.tolist()):
            mine, places = _windows(attention[i], side)
            other, _ = _windows(attention[j], side)
            (r, c), (s, d) = places[int(np.argmin(mine))], places[int(np.argmax(other))]
            whole = 4 * side
            source = x[j, :, 4 * s : 4 * s + whole, 4 * d : 4 * d + whole]
            slow[i, :, 4 * r : 4 * r + whole, 4 * c : 4 * c + whole] = source
        assert torch.equal(mix.pixels(x), slow)
        label = mix.lam * F.one_hot(y, 10) + (1 - mix.lam) * F.one_hot(y[mix.perm], 10)
        torch.testing.assert_close(mix.target(y, 10), label)
        torch.testing.assert_close(mix.mask.mean(), mix.lam[0])
        both = mix.lam * logits + (1 - mix.lam) * logits[mix.perm]
        torch.testing.assert_close(mix.loss.rows[3], both)
    assert sides == {1, 2, 3}


@pytest.mark.parametrize("head", ["own", "shared"])
def test_the_losses_by_hand(network, images, head):
    x, y = images
    method = SMMix(mixup_prob=0, fine=0.7, consistency=0.4, head=head)
    method.extend(network, 10)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    target = mix.target(y, 10)
    logits = network(mix.pixels(x))
    tokens = network.stages[-1][1].kept
    found = method.in_parts(logits, target, mix.loss.rows, network, cross_entropy)
    linear = network.second if head == "own" else network.stages[-1][2]
    fine = 0.0
    for i in range(8):
        kept = mix.mask[i, 0, ::4, ::4].flatten().bool()
        for chosen, label in ((kept, y[i]), (~kept, y[mix.perm[i]])):
            said = linear(tokens[i, 1:][chosen].mean(0))
            fine = fine + 0.5 / 8 * F.cross_entropy(said, label)
    p, q = mix.loss.rows[3].softmax(1), logits.softmax(1)
    agree = (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(found, cross_entropy(logits, target) + 0.7 * fine + 0.4 * agree)


@pytest.mark.parametrize("asked", ["patches", "class"])
def test_whose_attention(network, images, asked):
    """Against torch's own attention with weights, block by block."""
    x, _ = images
    logits, seen = look(network, x, "smmix", asked)
    assert network.training
    assert not network.attend
    network.eval()
    torch.testing.assert_close(logits, network(x))
    h = x
    for stage in network.stages[:-2]:
        h = stage(h)
    block = network.stages[-2][-1]
    for layer in network.stages[-2][:-1]:
        h = layer(h)
    attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    attention.in_proj_weight.data, attention.in_proj_bias.data = (
        block.attention.qkv.weight.data,
        block.attention.qkv.bias.data,
    )
    normed = block.norm1(h)
    _, weights = attention(normed, normed, normed, average_attn_weights=True)
    expected = weights[:, 0, 1:] if asked == "class" else weights[:, 1:, 1:].mean(1)
    torch.testing.assert_close(seen, expected)


def test_mixup_has_the_criterion_alone(network, images):
    x, y = images
    method = SMMix(mixup_prob=1)
    method.extend(network, 10)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    logits, target = network(mix.pixels(x)), mix.target(y, 10)
    found = method.in_parts(logits, target, mix.loss.rows, network, cross_entropy)
    assert found.item() == cross_entropy(logits, target).item()
    found.backward()
    assert network.second.weight.grad.abs().max() == 0  # no None: weight decay acts in every step


def test_it_learns(go):
    words = ["model=deit_s", "model.size=[8,8]", "model.patch=4", "model.width=32", "model.depth=1"]
    words += ["model.heads=2", "model.drop_path=0", "recipe.optimizer=adamw", "recipe.lr=0.01"]
    words += ["recipe.momentum=0", "recipe.nesterov=false", "recipe.epochs=6", "recipe.batch_size=16"]
    path = go("method=smmix", *words, "dataset.subset=null", "dataset.test_subset=null")
    errors = [epoch["error"] for epoch in json.loads(path.read_text())["history"]]
    assert errors[-1] < 0.75 < errors[0]
    state = torch.load(path.with_name("checkpoint.pt"), weights_only=True)["model"]
    assert state["second.weight"].std() > 0.03  # began with 0.02


def test_what_cannot_work_is_one_line(go):
    deit = [
        *TINY[:1],
        "model.size=[8,8]",
        "model.patch=2",
        "model.width=16",
        "model.heads=2",
        "model.depth=1",
    ]
    for words, line in (
        ([], "method=smmix: needs a network with a class token"),
        ([*deit, "devices=2"], "devices=2: SMMix works on one device"),
        ([*deit, "method.sides=[0.5,1]"], r"method\.sides"),
        ([*deit, "method.attention=all"], r"method\.attention=all"),
        ([*deit, "method.head=no"], r"method\.head=no"),
        ([*deit, "method.fine=-1"], r"method\.fine=-1"),
        ([*deit, "method.pairing=same_class"], "SMMix mixes a batch in itself"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=smmix", *words)
        assert "\n" not in str(caught.value)
