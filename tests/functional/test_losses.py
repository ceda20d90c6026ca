import pytest
import torch
from torch.nn import functional as F

from msda_train.functional.losses import bce, bce_softmax, cross_entropy, decoupled, smooth


@pytest.fixture
def problem():
    draw = torch.Generator().manual_seed(1)
    logits, y = torch.randn(6, 4, generator=draw), torch.randint(0, 4, (6,), generator=draw)
    return logits, y, y.flip(0)


def test_cross_entropy_equals_the_two_label_form(problem):
    logits, a, b = problem
    target = 0.3 * F.one_hot(a, 4).float() + 0.7 * F.one_hot(b, 4).float()
    torch.testing.assert_close(
        cross_entropy(logits, target), 0.3 * F.cross_entropy(logits, a) + 0.7 * F.cross_entropy(logits, b)
    )


def test_bce_softmax_by_hand():
    loss = bce_softmax(torch.log(torch.tensor([[0.7, 0.2, 0.1]])), torch.tensor([[0.6, 0.4, 0.0]]))
    p, t = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.6, 0.4, 0.0])
    assert loss.item() == pytest.approx(-(t * p.log() + (1 - t) * (1 - p).log()).mean().item(), rel=1e-5)


def test_bce_softmax_stays_finite_when_sure():
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = bce_softmax(logits, torch.tensor([[0.0, 1.0, 0.0]]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_smoothing_equals_torchs(problem):
    logits, y, _ = problem
    ours = cross_entropy(logits, smooth(F.one_hot(y, 4).float(), 0.1))
    torch.testing.assert_close(ours, F.cross_entropy(logits, y, label_smoothing=0.1))


def test_bce_is_a_loop_over_classes(problem):
    logits, target = problem[0], torch.rand(problem[0].shape)  # need not add up to 1
    p = logits.sigmoid()
    slow = -(target * p.log() + (1 - target) * (1 - p).log()).sum() / logits.numel()
    torch.testing.assert_close(bce(logits, target), slow)


@pytest.mark.parametrize("side", ["both", "more", "less"])
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_decoupled_equals_the_slow_loop(side, power):
    """Of a mixed label each class against all but the other one; nothing for a label of one class."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=draw)
    a, b = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([1, 2, 3, 4, 4, 3])
    lam = torch.tensor([0.3, 0.7, 0.5, 0.9, 0.2, 1.0])[:, None]
    target = lam * F.one_hot(a, 5) + (1 - lam) * F.one_hot(b, 5)
    slow = 0.0
    for i in range(4):  # the fifth pairs one class with itself, the sixth has only one
        for one, other in ((int(a[i]), int(b[i])), (int(b[i]), int(a[i]))):
            share = float(target[i, one])
            if {"more": share < 0.5, "less": share >= 0.5}.get(side, False):
                continue
            kept = [k for k in range(5) if k != other]
            probability = logits[i, kept].softmax(0)[kept.index(one)]
            slow += share**power * -float(probability.log()) / 6
    assert decoupled(logits, target, power, side).item() == pytest.approx(slow, rel=1e-5)


def test_decoupled_of_two_classes_has_nobody_to_compete_with():
    logits = torch.randn(4, 2, requires_grad=True)
    loss = decoupled(logits, torch.tensor([[0.3, 0.7]] * 4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(4, 2))


def test_decoupled_goes_with_any_method(go):
    import json

    from msda_train.core.errors import UserError

    losses = []
    for words in (["+recipe.decoupled_weight=0.1"], []):
        row = json.loads(go("method=cutmix", "method.prob=1", *words).read_text())
        losses.append(row["history"][0]["train_loss"])
    assert losses[0] > losses[1] + 0.2  # 0.1 times two terms of about log 10
    with pytest.raises(UserError, match=r"recipe\.decoupled_weight=0: nothing to rescale"):
        go("+recipe.decoupled_power=1")
