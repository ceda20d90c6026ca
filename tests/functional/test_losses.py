import pytest
import torch
from torch.nn import functional as F

from msda_train.functional.losses import bce_softmax, cross_entropy, smooth


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
