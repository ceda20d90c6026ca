"""The one training step against the same thing written out."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.functional import augmix
from msda_train.methods.cutmix import CutMix
from msda_train.methods.erm import Erm
from msda_train.methods.manifold_mixup import ManifoldMixup
from msda_train.methods.mixup import Mixup
from msda_train.models.preactresnet import preactresnet
from msda_train.training.device import Compute
from msda_train.training.step import Step, evaluate
from msda_train.training.update import Update

FLOAT = Compute(torch.device("cpu"), "fp32", False)


def _step(method, *words, compute=FLOAT):
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    recipe = build("recipe", compose("dataset=cifar10", *words).recipe)
    return Step(method, recipe.augment, 10, Update(network, network, recipe.loss, optimizer, compute))


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
    theirs.update.optimizer.step()
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
    smoothed = _step(Erm(), "recipe.label_smoothing=0.1")(x, y, np.random.default_rng(0))
    torch.testing.assert_close(smoothed, F.cross_entropy(logits, y, label_smoothing=0.1))
    bce = _step(Erm(), "recipe.criterion=bce_softmax")(x, y, np.random.default_rng(0))
    torch.testing.assert_close(bce, F.binary_cross_entropy(logits.softmax(1), F.one_hot(y, 10).float()))


@dataclass(frozen=True)
class AlsoClean:
    """Learns from the clean batch, too: what it adds to the gradients, the step keeps."""

    def plan(self, x, y, model, rng):
        (0.5 * F.cross_entropy(model(x), y)).backward()
        return Mixup().plan(x, y, model, rng)


def test_a_method_may_learn_from_the_clean_batch(batch):
    x, y = batch
    ours, theirs = _step(AlsoClean()), _step(Mixup())
    ours(x, y, np.random.default_rng(1))
    mix = Mixup().plan(x, y, None, np.random.default_rng(1))
    clean = 0.5 * F.cross_entropy(theirs.network(x), y)
    (clean + _by_hand(theirs, x, y, mix.apply(x), y, y[mix.perm], mix.lam.item())).backward()
    theirs.update.optimizer.step()
    for p, q in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_the_entropy_of_the_predictions_is_subtracted(batch):
    x, y = batch
    logits = _step(Erm()).network(x).detach()
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
    loss = _step(Erm(), "recipe.entropy_weight=0.3")(x, y, np.random.default_rng(0))
    torch.testing.assert_close(loss, F.cross_entropy(logits, y) - 0.3 * entropy)


class Watching:
    """Keeps the images a method is shown."""

    def plan(self, x, y, model, rng):
        self.x = x
        return Mixup().plan(x, y, model, rng)


def test_cutout_goes_with_any_method(batch):
    """One hole per image, before the mixing; the labels do not know."""
    x, y = batch
    watching = Watching()
    _step(watching, "recipe.cutout=16")(x, y, np.random.default_rng(2))
    holes = (watching.x == 0).all(1)
    assert holes.any((1, 2)).all()
    assert torch.equal(watching.x[~holes[:, None].expand_as(x)], x[~holes[:, None].expand_as(x)])
    assert len({tuple(torch.nonzero(hole)[0].tolist()) for hole in holes}) > 4  # each its own
    for hole in holes:
        rows, columns = torch.nonzero(hole, as_tuple=True)
        assert len(rows) == len(set(rows.tolist())) * len(set(columns.tolist()))  # a filled rectangle
        assert 8 <= len(set(rows.tolist())) <= 16


def test_augmix_acts_on_pixels_before_the_mixing(batch):
    """The batch's own pixels, to the bit where the share of the chains is drawn as nothing; black stays in
    [0, 1]; and it goes with cutout."""
    _, y = batch
    recipe = build("recipe", compose("dataset=cifar100", "recipe=puzzlemix", "recipe.augmix=3").recipe)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (recipe.mean, recipe.std))
    pixels = torch.randint(0, 256, (len(y), 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    x = (pixels / 255 - mean) / std
    augmented = recipe.augment(x, np.random.default_rng(0))
    draws = augmix.draw(np.random.default_rng(0), len(y), 3, 32, 32)
    expected = (augmix.mixed(pixels, draws) / 255 - mean) / std
    torch.testing.assert_close(augmented, expected)
    shown = augmented * std + mean
    assert (shown.min() >= -1e-5, shown.max() <= 1 + 1e-5) == (True, True)
    assert not torch.equal(augmented, x)
    plain = build("recipe", compose("dataset=cifar100", "recipe=puzzlemix").recipe)
    assert plain.augment(x, np.random.default_rng(0)) is x
    with pytest.raises(UserError, match=r"recipe.augmix=11: a severity of 0.1 to 10"):
        build("recipe", compose("dataset=cifar100", "recipe=puzzlemix", "recipe.augmix=11").recipe)


def test_pixels_are_mixed_before_the_network(batch):
    """So that one compiled network serves all input-level methods; deeper mixing goes inside."""
    x, y = batch
    seen = []
    for depths in ([0], [1]):
        step = _step(ManifoldMixup(depths=depths))
        step.update.forward = lambda x, mix=None, inner=step.network: seen.append(mix) or inner(x, mix)
        step(x, y, np.random.default_rng(0))
    assert seen[0] is None
    assert seen[1].depth == 1


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
