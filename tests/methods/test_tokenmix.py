"""TokenMix: blocks of patches, labels by activation against a loop, teachers and what cannot work."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.functional.losses import bce, cross_entropy
from msda_train.functional.masks import block_mask, scattered_mask
from msda_train.methods._class_token import patch_of
from msda_train.methods._teachers import find_dense_teacher
from msda_train.methods.tokenmix import TokenMix
from msda_train.models.trained import load_network


def _plan(method, x, y, seed=0, model=None):
    return method.plan(x, y, model, np.random.default_rng(seed))


def _labels(mix, y, classes=10):
    """The soft labels that the criterion is given."""
    given = []
    logits, target = torch.zeros(len(y), classes), mix.target(y, classes)
    mix.loss.of(logits, target, mix.loss.rows, None, lambda _, labels: given.append(labels) or logits.sum())
    return given[0]


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_labels_equal_the_slow_loop(batch, monkeypatch, lam_per):
    x, y = batch
    seen = torch.rand(8, 8, 8)
    seen /= seen.sum((1, 2), keepdim=True)
    monkeypatch.setattr(TokenMix, "seen", lambda *_: seen)
    method = TokenMix(mixup_prob=0, patch=4, draw="beta", lam_per=lam_per)
    for seed in range(4):
        mix = _plan(method, x, y, seed)
        labels, pixels = _labels(mix, y), mix.pixels(x)
        mask = mix.mask.expand(8, 1, 32, 32)
        for i, j in enumerate(mix.perm.tolist()):
            mine = its = 0.0
            for row in range(8):
                for column in range(8):
                    there = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
                    kept = bool(mask[i, 0][there].all())
                    assert kept or not mask[i, 0][there].any()
                    assert torch.equal(pixels[i][:, *there], x[i if kept else j][:, *there])
                    mine += seen[i, row, column] * kept
                    its += seen[j, row, column] * (not kept)
            torch.testing.assert_close(labels[i], mine * F.one_hot(y[i], 10) + its * F.one_hot(y[j], 10))


def test_blocks_by_count():
    """Never more than wanted, nearly always as many; of one connected piece more often than not at random."""
    rng = np.random.default_rng(0)
    counts = [(112, int((block_mask(rng, 14, 14, 112) == 0).sum())) for _ in range(200)]
    assert all(found <= wanted for wanted, found in counts)
    assert np.mean([found for _, found in counts]) > 108
    assert (scattered_mask(rng, 14, 14, 112) == 0).sum() == 112
    assert block_mask(rng, 14, 14, 0).all()

    def edges(mask):  # between kept and replaced cells
        return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()

    blocks, cells = (
        np.mean([edges(f(rng, 14, 14, 98)) for _ in range(50)]) for f in (block_mask, scattered_mask)
    )
    assert blocks < 0.6 * cells


def test_a_block_by_hand():
    """Draws of the authors' procedure: a block of 2 x 2, one that brings nothing new, one of 1 x 2."""

    class Draws:
        values = iter([4.0, 0.0, 4.0, 0.0, 2.0, np.log(0.5)])
        corners = iter([1, 1, 1, 1, 1, 3])

        def uniform(self, low, high):
            return next(self.values)

        def integers(self, low, high):
            return next(self.corners)

    expected = np.ones((6, 6), dtype=np.float32)
    expected[1:3, 1:3] = 0
    expected[1, 3:5] = 0
    assert np.array_equal(block_mask(Draws(), 6, 6, 6), expected)


def test_half_and_a_fourteenth_more(batch):
    x, y = batch
    method = TokenMix(activation="area", mask="random", mixup_prob=0, patch=2)
    assert _plan(method, x, y).lam.item() == pytest.approx(1 - (128 + 18) / 256)


def test_a_teachers_class_maps(batch, teacher):
    """Cell by cell: the classifier on the last map, the own class, brought to the grid, adding up to 1."""
    x, y = batch
    network, _ = load_network(teacher)
    with torch.no_grad():
        h = x
        for stage in network.stages[:-1]:
            h = stage(h)
        probability = torch.stack(
            [
                torch.stack([network.stages[-1][-1](h[i, :, r, c]).softmax(0)[y[i]] for c in range(16)])
                for i in range(8)
                for r in range(16)
            ]
        ).view(8, 16, 16)
    recipe = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
    _, config = load_network(teacher)
    recipe = {key: config["recipe"][key] for key in ("mean", "std")}
    method = TokenMix(teacher=str(teacher), **recipe)
    found = method.seen(x, y, None, 16, 16)
    expected = probability / probability.sum((1, 2), keepdim=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    assert method.teacher_run().endswith("-s0")
    assert isinstance(find_dense_teacher(str(teacher), **recipe).classifier, nn.Linear)


def test_scores_need_not_add_up_to_one(batch, teacher):
    x, y = batch
    mix = _plan(TokenMix(teacher=str(teacher), mixup_prob=0), x, y)
    labels = _labels(mix, y)
    assert (labels.sum(1) - 1).abs().max() > 1e-3
    logits, target = torch.randn(8, 10), mix.target(y, 10)
    for criterion in (bce, cross_entropy):
        found = mix.loss.of(logits, target, mix.loss.rows, None, criterion)
        torch.testing.assert_close(found, criterion(logits, labels))


def test_the_patch_is_the_networks():
    assert patch_of(None, None, 224, 224) == 16
    assert patch_of(None, None, 32, 32) == 2
    assert patch_of(4, None, 32, 32) == 4
    with pytest.raises(UserError, match=r"method\.patch=5: does not divide images of 32x32 pixels"):
        patch_of(5, None, 32, 32)


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        ([], "method.activation=teacher: whose"),
        (["method.activation=attention"], "method=tokenmix: needs a network with a class token"),
        (["method.activation=attention", "devices=2"], "devices=2: TokenMix works on one device"),
        (["method.activation=attention", "method.patch=2"], r"method\.patch: attention is to"),
        (["method.activation=area", "method.patch=3"], r"method\.patch=3: does not divide"),
        (["method.activation=area", "method.teacher=RUN"], r"method\.teacher=RUN: is asked"),
        (["method.teacher=nowhere"], r"method\.teacher=nowhere: no such folder"),
        (["method.mask=box"], r"method\.mask=box"),
        (["method.draw=one"], r"method\.draw=one"),
        (["method.more=2"], r"method\.more=2"),
        (
            ["method.activation=area", "method.pairing=nearest", "method.neighbours=3"],
            "TokenMix mixes a batch",
        ),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=tokenmix", *words)
        assert "\n" not in str(caught.value)
