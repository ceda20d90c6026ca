import pytest
import torch

from msda_train.models.preactresnet import preactresnet
from msda_train.models.stochdepth import DropBranch, StochDepth


def test_survival_falls_linearly_to_one_minus_rate():
    ends = [StochDepth(rate=0.25).branch(block, 4) for block in (1, 2, 3, 4)]
    assert [end.survival for end in ends] == [0.9375, 0.875, 0.8125, 0.75]


def test_blocks_of_a_network_are_counted_through():
    network = preactresnet(
        [2, 1, 1], 4, "manifold", 1, classes=10, channels=3, regulariser=StochDepth(rate=0.4)
    )
    survivals = [m.survival for m in network.modules() if isinstance(m, DropBranch)]
    assert survivals == pytest.approx([0.9, 0.8, 0.7, 0.6])


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_branch_is_kept_or_zero_and_kept_as_often_as_it_should(per_sample):
    torch.manual_seed(0)
    end, h = DropBranch(0.7, per_sample=per_sample), torch.randn(4, 3, 2, 2)
    kept = torch.zeros(4)
    for _ in range(1500):
        out = end(h)
        zero = torch.tensor([not sample.any() for sample in out])
        for b in range(4):
            assert torch.equal(out[b], torch.zeros_like(h[b]) if zero[b] else h[b])
        if not per_sample:
            assert zero.all() or not zero.any()
        kept += 1 - zero.float()
    torch.testing.assert_close(kept / 1500, torch.full((4,), 0.7), atol=0.045, rtol=0)  # 4 deviations


def test_the_gradient_is_kept_with_the_branch():
    torch.manual_seed(0)
    end, h = DropBranch(0.5, per_sample=True), torch.randn(64, 1, 1, 1, requires_grad=True)
    out = end(h)
    out.sum().backward()
    assert torch.equal(h.grad, (out != 0).float())
    assert 0 < h.grad.sum() < 64


def test_evaluation_multiplies_by_the_survival():
    end, h = DropBranch(0.75, per_sample=False).eval(), torch.randn(2, 3, 4, 4)
    assert torch.equal(end(h), h * 0.75)


def test_rate_zero_is_the_network_without():
    torch.manual_seed(1)
    plain = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    held = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3, regulariser=StochDepth(rate=0.0))
    held.load_state_dict(plain.state_dict())  # the same names: a regulariser has no weights
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(plain(x), held(x))
    assert torch.equal(plain.eval()(x), held.eval()(x))


def test_a_dropped_branch_leaves_the_shortcut():
    network = preactresnet(
        [1], 4, "manifold", 1, classes=10, channels=3, regulariser=StochDepth(rate=1.0)
    ).train()
    block, x = network.stages[0][-1], torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x)
