"""The one training step against the same thing written out."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.losses import CRITERIA, cross_entropy
from msda_train.methods.cutmix import CutMix
from msda_train.methods.erm import Erm
from msda_train.methods.mixup import Mixup
from msda_train.models.preactresnet import preactresnet
from msda_train.runner.device import Compute
from msda_train.runner.step import Step, evaluate

FLOAT = Compute(torch.device("cpu"), "fp32", False)


def _step(method, *, criterion=cross_entropy, smoothing=0.0, compute=FLOAT):
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    return Step(network, network, method, criterion, smoothing, 10, optimizer, compute)


def _by_hand(step, x, y, mixed, a, b, lam):
    """The two-loss form of mixup's and CutMix's programs."""
    logits = step.network(mixed)
    return lam * F.cross_entropy(logits, a) + (1 - lam) * F.cross_entropy(logits, b)


@pytest.mark.parametrize("method", [Mixup(alpha=1.0), CutMix(prob=1.0)])
def test_equals_the_published_two_loss_form(batch, method):
    x, y = batch
    ours, theirs = _step(method), _step(method)
    loss = ours(x, y, np.random.default_rng(4))
    mix = method.plan(x, y, None, np.random.default_rng(4))
    by_hand = _by_hand(theirs, x, y, mix.apply(x), y, y[mix.perm], mix.lam.item())
    by_hand.backward()
    theirs.optimizer.step()
    torch.testing.assert_close(loss, by_hand.detach())
    for p, q in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_erm_is_plain_training(batch):
    x, y = batch
    loss = _step(Erm())(x, y, np.random.default_rng(0))
    torch.testing.assert_close(loss, F.cross_entropy(_step(Erm()).network(x), y).detach())


def test_label_smoothing_and_bce(batch):
    x, y = batch
    logits = _step(Erm()).network(x).detach()
    smoothed = _step(Erm(), smoothing=0.1)(x, y, np.random.default_rng(0))
    torch.testing.assert_close(smoothed, F.cross_entropy(logits, y, label_smoothing=0.1))
    bce = _step(Erm(), criterion=CRITERIA["bce_softmax"])(x, y, np.random.default_rng(0))
    torch.testing.assert_close(bce, F.binary_cross_entropy(logits.softmax(1), F.one_hot(y, 10).float()))


@dataclass(frozen=True)
class WithExtraLoss:
    """Mixup with a clean loss beside it."""

    def plan(self, x, y, model, rng):
        extra = 0.5 * F.cross_entropy(model(x), y)
        return replace(Mixup().plan(x, y, model, rng), aux_loss=extra)


def test_an_extra_loss_trains_too(batch):
    x, y = batch
    ours, plain = _step(WithExtraLoss()), _step(Mixup())
    ours(x, y, np.random.default_rng(1))
    plain(x, y, np.random.default_rng(1))
    weights = [p.detach().clone() for p in ours.network.parameters()]
    assert any(not torch.equal(p, q) for p, q in zip(weights, plain.network.parameters(), strict=True))


def test_bf16_stays_around_the_model(batch):
    x, y = batch
    step = _step(Mixup(), compute=Compute(torch.device("cpu"), "bf16", False))
    loss = step(x, y, np.random.default_rng(0))
    assert loss.dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in step.network.parameters())
    torch.testing.assert_close(loss, _step(Mixup())(x, y, np.random.default_rng(0)), rtol=0.05, atol=0.05)


def test_evaluate_by_hand():
    logits = torch.log_softmax(torch.randn(7, 6, generator=torch.Generator().manual_seed(0)), 1)
    y = torch.tensor([0, 1, 2, 3, 4, 5, 0])
    batches = [(logits[:4], y[:4]), (logits[4:], y[4:])]
    found = evaluate(lambda x: x, batches, FLOAT)
    assert found["error"] == pytest.approx((logits.argmax(1) != y).float().mean().item())
    assert found["nll"] == pytest.approx(-logits[range(7), y].mean().item(), rel=1e-6)
    top5 = logits.topk(5, dim=1).indices
    assert found["top5_error"] == pytest.approx(1 - (top5 == y[:, None]).any(1).float().mean().item())
