"""TransMix: labels by attention, by hand and against a loop over patches; which networks will do."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.cutmix import CutMix
from msda_train.methods.transmix import TransMix


class Looks(nn.Module):
    """Stands in for a transformer whose class token looks at what the test says."""

    attend = False

    def __init__(self, attention):
        super().__init__()
        self.attention = attention


def _target(method, mix, y, attention):
    """The soft labels that the criterion is given."""
    given = []
    method.attended(
        torch.zeros(len(y), 10),
        mix.target(y, 10),
        mix.loss.rows,
        Looks(attention),
        lambda _, target: given.append(target) or torch.zeros(()),
    )
    return given[0]


def test_by_hand():
    """A box of the lower right quarter of 4 x 4 pixels, 2 x 2 patches, 0.7 of the attention in it."""
    method = TransMix(mixup_prob=0, pairing="permutation")
    x, y = torch.zeros(2, 1, 4, 4), torch.tensor([3, 5])

    class Pinned:
        def random(self):
            return 0.5

        def beta(self, a, b, size):
            return np.full(size, 0.75)

        def permutation(self, n):
            return np.array([1, 0])

        def integers(self, low, high, n=None):
            return 3 if n is None else np.full(n, 3)

    mix = method.plan(x, y, None, Pinned())
    assert mix.mask[0, 0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    attention = torch.tensor([[0.05, 0.05, 0.05, 0.35], [0.4, 0.4, 0.2, 0.0]])
    target = _target(method, mix, y, attention)
    assert target[0, 3].item() == pytest.approx(0.5 * 0.75 + 0.5 * 0.3)
    assert target[0, 5].item() == pytest.approx(0.5 * 0.25 + 0.5 * 0.7)
    assert target[1, 5].item() == pytest.approx(0.5 * 0.75 + 0.5 * 1.0)


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("area", [0.0, 0.5, 1.0])
def test_equals_the_slow_loop(batch, area, lam_per):
    x, y = batch
    method = TransMix(mixup_prob=0, area=area, lam_per=lam_per)
    attention = torch.rand(8, 64)
    for seed in range(5):
        mix = method.plan(x, y, None, np.random.default_rng(seed))
        target = _target(method, mix, y, attention)
        for i in range(8):
            mask = mix.mask.expand(8, 1, 32, 32)[i, 0]
            inside = sum(attention[i, 8 * r + c] * mask[4 * r, 4 * c] for r in range(8) for c in range(8))
            lam = area * mask.mean() + (1 - area) * inside / attention[i].sum()
            label = lam * F.one_hot(y[i], 10) + (1 - lam) * F.one_hot(y[mix.perm[i]], 10)
            torch.testing.assert_close(target[i], label)


def test_pixels_are_cutmixs_or_mixups(batch):
    x, y = batch
    for seed in range(5):
        plans = [
            method.plan(x, y, None, np.random.default_rng(seed))
            for method in (TransMix(mixup_prob=0), CutMix(prob=1.0, pairing="reversal"))
        ]
        torch.testing.assert_close(plans[0].mask.mean(), plans[0].lam.mean())
        assert plans[0].mask.unique().tolist() in ([0, 1], [1], [0])
        mixup = TransMix(mixup_prob=1).plan(x, y, None, np.random.default_rng(seed))
        assert mixup.loss is None
        assert mixup.mask.numel() == 1


def test_how_often(batch):
    x, y = batch
    plans = [TransMix().plan(x, y, None, np.random.default_rng(s)) for s in range(300)]
    assert np.mean([mix.loss is None for mix in plans]) == pytest.approx(0.2, abs=3 * (0.16 / 300) ** 0.5)


def test_no_attention_at_all_leaves_the_area(batch):
    x, y = batch
    method = TransMix(mixup_prob=0, area=0.0)
    mix = method.plan(x, y, None, np.random.default_rng(0))
    torch.testing.assert_close(_target(method, mix, y, torch.zeros(8, 64)), mix.target(y, 10))


def test_what_cannot_work_is_one_line(go):
    with pytest.raises(UserError, match="method=transmix: needs a network with a class token") as caught:
        go("method=transmix")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"method\.inputs_only=true"):
        TransMix(inputs_only=True)
    for words in ("area=2", "mixup_prob=-1", "mixup_alpha=0"):
        with pytest.raises(UserError, match=f"method.{words}"):
            build("method", compose("method=transmix", f"method.{words}").method)
