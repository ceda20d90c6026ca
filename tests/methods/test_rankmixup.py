"""RankMixup: which images are mixed, and the ranking's loss against a loop over images."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.functional.losses import cross_entropy
from msda_train.methods.rankmixup import RankMixup


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("mixes", [1, 3])
def test_equals_the_slow_loop(batch, mixes, lam_per):
    x, y = batch
    method = RankMixup(mixes=mixes, lam_per=lam_per, weight=0.7)
    for seed in range(4):
        mix = method.plan(x, y, None, np.random.default_rng(seed))
        pixels, target = mix.pixels(x), mix.target(y, 10)
        torch.manual_seed(seed)
        logits = 3 * torch.randn(8 + 8 * mixes, 10)
        loss = 0.0
        for i in range(8):
            torch.testing.assert_close(pixels[i], x[i])
            sure, ideal = [logits[i].softmax(0).max().item()], [1.0]
            pairs = []
            for k in range(1, mixes + 1):
                row = 8 * k + i
                lam, j = mix.lam[row].item(), mix.perm[row]
                torch.testing.assert_close(pixels[row], lam * x[i] + (1 - lam) * x[j])
                label = lam * F.one_hot(y[i], 10) + (1 - lam) * F.one_hot(y[j], 10)
                torch.testing.assert_close(target[row], label.float())
                pairs.append((label.max().item(), logits[row].softmax(0).max().item()))
            for largest, answer in sorted(pairs, key=lambda pair: -pair[0]):
                ideal.append(largest)
                sure.append(answer)
            gain = sum(s / math.log2(k + 2) for k, s in enumerate(sure))
            best = sum(s / math.log2(k + 2) for k, s in enumerate(ideal))
            loss += F.cross_entropy(logits[i], y[i]).item() / 8
            loss += 0.7 / 8 * (1 - min(gain / best, best / gain))
        found = method.ranked(logits, target, mix.loss.rows, None, cross_entropy)
        assert found.item() == pytest.approx(loss, abs=1e-5)
    if mixes == 3 and lam_per == "batch":
        lams, partners = mix.lam.view(4, 8), mix.perm.view(4, 8)
        assert len({float(row[0]) for row in lams[1:]}) == 3
        assert len({tuple(row.tolist()) for row in partners[1:]}) == 3


def test_labels_of_mixes_are_not_learned(batch):
    """Only the largest answer to a mixed image has a gradient, and none of it asks for a class."""
    x, y = batch
    method = RankMixup(weight=0.0)
    mix = method.plan(x, y, None, np.random.default_rng(0))
    logits = torch.randn(32, 10, requires_grad=True)
    method.ranked(logits, mix.target(y, 10), (), None, cross_entropy).backward()
    assert logits.grad[:8].abs().max() > 0
    assert logits.grad[8:].abs().max() == 0


def test_it_learns(go):
    path = go("method=rankmixup", "recipe.epochs=4", "dataset.subset=null", "dataset.test_subset=null")
    errors = [epoch["error"] for epoch in json.loads(path.read_text())["history"]]
    assert errors[-1] < 0.35 < errors[0]


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        ("method.mixes=0", r"method\.mixes=0"),
        ("method.weight=-1", r"method\.weight=-1"),
        ("method.inputs_only=true", r"method\.inputs_only=true: RankMixup"),
        ("method.pairing=same_class", r"method\.pairing=same_class: RankMixup"),
        ("devices=2", "devices=2: RankMixup works on one device"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=rankmixup", words)
        assert "\n" not in str(caught.value)
