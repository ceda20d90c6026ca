"""RegMixup: clean and mixed images in one batch, and whose mean the loss is."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.methods.mixup import Mixup
from msda_train.methods.regmixup import RegMixup


def test_equals_the_slow_loop(batch, draws):
    x, y = batch
    plain = Mixup().plan(x, y, None, draws(beta=0.4))
    mix = RegMixup().plan(x, y, None, draws(beta=0.4))
    pixels, target = mix.pixels(x), mix.target(y, 10)
    for i in range(8):
        j = plain.perm[i]
        assert torch.equal(pixels[i], x[i])
        torch.testing.assert_close(pixels[8 + i], 0.4 * x[i] + 0.6 * x[j])
        label = 0.4 * F.one_hot(y[i], 10) + 0.6 * F.one_hot(y[j], 10)
        torch.testing.assert_close(target[8 + i], label)
    assert torch.equal(target[:8], F.one_hot(y, 10).float())


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_in_either_order_of_memory(batch, memory):
    x, y = batch
    mix = RegMixup().plan(x, y, None, np.random.default_rng(0))
    torch.testing.assert_close(mix.pixels(x.contiguous(memory_format=memory)), mix.pixels(x.clone()))


@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_the_authors_loss_and_the_papers(batch, loss):
    """The authors': lam * CE(logits, [y, y]) + (1 - lam) * CE(logits, [y, y[perm]]) over all 2B."""
    x, y = batch
    mix = RegMixup(loss=loss).plan(x, y, None, np.random.default_rng(1))
    logits, lam, partner = torch.randn(16, 10), mix.lam[-1], y[mix.perm[8:]]

    def criterion(logits, target):
        return F.cross_entropy(logits, target)

    target = mix.target(y, 10)
    found = mix.loss.of(logits, target, (), None, criterion) if mix.loss else criterion(logits, target)
    if loss == "mean":
        a, b = torch.cat([y, y]), torch.cat([y, partner])
        expected = lam * F.cross_entropy(logits, a) + (1 - lam) * F.cross_entropy(logits, b)
    else:
        mixed = lam * F.cross_entropy(logits[8:], y) + (1 - lam) * F.cross_entropy(logits[8:], partner)
        expected = F.cross_entropy(logits[:8], y) + mixed
    torch.testing.assert_close(found, expected)


def test_partners_from_all_images_are_refused():
    with pytest.raises(UserError, match=r"method\.pairing=same_class: clean images"):
        RegMixup(pairing="same_class")
