"""MixPro: squares of patches; labels by attention, as far as the answer fits; which batches are its own."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.mixpro import MixPro

ALWAYS = {"mixup_prob": 0.0, "cutmix_prob": 0.0}
DEIT = [
    "model=deit_s",
    "model.size=[32,32]",
    "model.patch=4",
    "model.width=8",
    "model.depth=1",
    "model.heads=2",
]


class Looks(nn.Module):
    """Stands in for a transformer whose class token looks at what the test says."""

    attend = False

    def __init__(self, attention):
        super().__init__()
        self.attention = attention


def _target(method, mix, y, logits, attention):
    """The soft labels that the criterion is given."""
    given = []
    method.attended(
        logits,
        mix.target(y, 10),
        mix.loss.rows,
        Looks(attention),
        lambda _, target: given.append(target) or torch.zeros(()),
    )
    return given[0]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("model", compose(*DEIT).model, classes=10, channels=3)


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("labels", ["progressive", "attention"])
def test_equals_the_slow_loop(batch, network, labels, lam_per):
    """8 x 8 patches of 4 pixels in 4 x 4 squares of 8 pixels."""
    x, y = batch
    method = MixPro(labels=labels, lam_per=lam_per, **ALWAYS)
    attention, logits, counts = torch.rand(8, 64), 2 * torch.randn(8, 10), set()
    for seed in range(5):
        mix = method.plan(x, y, network, np.random.default_rng(seed))
        target, pixels = _target(method, mix, y, logits, attention), mix.pixels(x)
        for i in range(8):
            j, kept, inside = mix.perm[i], 0, 0.0
            for r in range(4):
                for c in range(4):
                    there = (slice(8 * r, 8 * r + 8), slice(8 * c, 8 * c + 8))
                    own = torch.equal(pixels[i][:, *there], x[i][:, *there])
                    assert own or torch.equal(pixels[i][:, *there], x[j][:, *there])
                    keeps = bool(mix.mask[i, 0, 8 * r, 8 * c])
                    assert own == keeps or i == j
                    kept += keeps
                    patches = attention[i].view(8, 8)[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
                    inside += patches.sum().item() * keeps
            counts.add(kept)
            area, weight = kept / 16, inside / attention[i].sum().item()
            assert mix.lam[i].item() == pytest.approx(area)
            a, b = F.one_hot(y[i], 10).float(), F.one_hot(y[j], 10).float()
            if labels == "progressive":
                mixed, said = area * a + (1 - area) * b, logits[i].softmax(0)
                fit = (mixed @ said / (mixed.norm() * said.norm())).item()
                weight = fit * weight + (1 - fit) * area
            torch.testing.assert_close(target[i], weight * a + (1 - weight) * b)
    assert len(counts) > 2


def test_how_many_squares(batch, draws):
    """ceil(16 lam), for each image others."""
    x, y = batch
    for lam, count in ((0.0, 0), (0.01, 1), (0.5, 8), (0.51, 9), (1.0, 16)):
        mix = MixPro(labels="area", **ALWAYS).plan(x, y, None, _Pinned(lam))
        assert (mix.mask[:, 0, ::8, ::8].sum((1, 2)) == count).all()
    mix = MixPro(labels="area", **ALWAYS).plan(x, y, None, _Pinned(0.5))
    assert len({tuple(mask.flatten().tolist()) for mask in mix.mask}) > 4
    assert mix.loss is None


class _Pinned:
    """lam as it says, everything else at random."""

    def __init__(self, lam):
        self.rng, self.lam = np.random.default_rng(0), lam

    def beta(self, a, b, size):
        return np.full(size, self.lam)

    def __getattr__(self, name):
        return getattr(self.rng, name)


@pytest.mark.parametrize("count", ["area", "squares"])
def test_squares_that_the_border_cuts(batch, network, count):
    """3 to a side: 12, 12 and 8 of 32 pixels."""
    x, y = batch
    method = MixPro(squares=3, count=count, labels="area", **ALWAYS)
    mix = method.plan(x, y, network, _Pinned(0.5))
    for i in range(8):
        squares = mix.mask[i, 0, ::12, ::12]
        assert squares.sum() == 5
        whole = torch.tensor([12.0, 12.0, 8.0])
        area = (squares * whole[:, None] * whole).sum() / 1024
        assert mix.lam[i].item() == pytest.approx(area.item() if count == "area" else 5 / 9)
        torch.testing.assert_close(mix.mask[i].mean(), area)


def test_how_often(batch, network):
    x, y = batch
    plans = [MixPro().plan(x, y, network, np.random.default_rng(s)) for s in range(400)]
    own = np.mean([mix.loss is not None for mix in plans])
    mixup = np.mean([mix.mask.numel() == 1 for mix in plans])
    assert own == pytest.approx(0.5, abs=3 * (0.25 / 400) ** 0.5)
    assert mixup == pytest.approx(0.25, abs=3 * (0.1875 / 400) ** 0.5)


def test_no_attention_at_all_leaves_the_area(batch, network):
    x, y = batch
    method = MixPro(**ALWAYS)
    mix = method.plan(x, y, network, np.random.default_rng(0))
    found = _target(method, mix, y, torch.randn(8, 10), torch.zeros(8, 64))
    torch.testing.assert_close(found, mix.target(y, 10))


def test_it_learns(go):
    words = ["model=deit_s", "model.size=[8,8]", "model.patch=4", "model.width=32", "model.depth=1"]
    words += ["model.heads=2", "model.drop_path=0", "recipe.optimizer=adamw", "recipe.lr=0.004"]
    words += ["recipe.momentum=0", "recipe.nesterov=false", "recipe.epochs=8", "recipe.batch_size=16"]
    path = go("method=mixpro", "method.squares=2", *words, "dataset.subset=null", "dataset.test_subset=null")
    errors = [epoch["error"] for epoch in json.loads(path.read_text())["history"]]
    assert errors[-1] < 0.65 < errors[0]


def test_what_cannot_work_is_one_line(go):
    for words, line in (
        ([], "method=mixpro: needs a network with a class token"),
        (["method.squares=0"], r"method\.squares=0"),
        (["method.labels=no"], r"method\.labels=no"),
        (["method.count=no"], r"method\.count=no"),
        (["method.cutmix_prob=0.9"], r"method\.cutmix_prob=0\.9: more than 1, with"),
        (["method.pairing=same_class"], "MixPro mixes a batch in itself"),
    ):
        with pytest.raises(UserError, match=line) as caught:
            go("method=mixpro", *words)
        assert "\n" not in str(caught.value)
