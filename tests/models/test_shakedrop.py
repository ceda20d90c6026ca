import pytest
import torch

from msda_train.models.pyramidnet import pyramidnet
from msda_train.models.shakedrop import Scale, Shake, ShakeDrop


def test_survival_falls_linearly_to_one_minus_rate():
    network = pyramidnet(11, 6, 4, classes=10, channels=3, regulariser=ShakeDrop())
    survivals = [m.survival for m in network.modules() if isinstance(m, Shake)]
    assert survivals == pytest.approx([1 - 0.5 / 3, 1 - 1 / 3, 0.5])


def test_factors_against_a_slow_loop():
    """Forward b + alpha - b * alpha, backward b + beta - b * beta, every element by itself."""
    torch.manual_seed(0)
    shape = (3, 2, 2, 2)
    for b in (0.0, 1.0):
        alpha, beta = torch.rand(shape) * 2 - 1, torch.rand(shape)
        forward, backward = b + alpha - b * alpha, b + beta - b * beta
        h = torch.randn(shape, requires_grad=True)
        grad = torch.randn(shape)
        out = Scale.apply(h, forward, backward)
        out.backward(grad)
        for i in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
            i = tuple(i)
            assert out[i].item() == pytest.approx(h[i].item() * forward[i].item())
            assert h.grad[i].item() == pytest.approx(grad[i].item() * backward[i].item())
    assert torch.equal(out, h)  # b = 1: the branch as it is


class Pinned(Shake):
    """A closed gate, alpha -0.5 and beta 0.25."""

    def factors(self, h):
        return torch.full((1, 1, 1, 1), -0.5), torch.full((1, 1, 1, 1), 0.25)


def test_a_closed_gate_uses_alpha_forward_and_beta_backward():
    h = torch.randn(2, 3, 4, 4, requires_grad=True)
    out = Pinned(0.5, "batch")(h)
    out.sum().backward()
    assert torch.equal(out, h * -0.5)
    assert torch.equal(h.grad, torch.full_like(h, 0.25))


@pytest.mark.parametrize(
    ("per", "shape"), [("batch", (1, 1, 1, 1)), ("image", (4, 1, 1, 1)), ("pixel", (4, 3, 2, 2))]
)
def test_draws(per, shape):
    """One gate for all; where it is closed, alpha fills (-1, 1) and beta (0, 1), independently."""
    torch.manual_seed(0)
    end, h = Shake(0.6, per), torch.randn(4, 3, 2, 2)
    closed, alphas, betas = 0, [], []
    for _ in range(2000):
        forward, backward = end.factors(h)
        assert forward.shape == backward.shape == shape
        open_gate = bool((forward == 1).all())
        assert open_gate == bool((backward == 1).all())
        if not open_gate:
            closed += 1
            assert len(forward.unique()) == forward.numel()
            alphas.append(forward.flatten()[0])
            betas.append(backward.flatten()[0])
    assert closed / 2000 == pytest.approx(0.4, abs=0.044)  # four standard deviations
    alpha, beta = torch.stack(alphas), torch.stack(betas)
    for draws, low, mean in ((alpha, -1, 0.0), (beta, 0, 0.5)):
        assert low < draws.min() < low + 0.02 * (1 - low)
        assert 1 - 0.02 * (1 - low) < draws.max() < 1
        assert draws.mean().item() == pytest.approx(mean, abs=4 * draws.std().item() / closed**0.5)
    assert abs(torch.corrcoef(torch.stack([alpha, beta]))[0, 1]) < 4 / closed**0.5


def test_evaluation_is_the_expectation_of_training():
    torch.manual_seed(0)
    h = torch.randn(1, 2, 2, 2)
    end = Shake(0.7, "image")
    mean = torch.stack([end(h) for _ in range(6000)]).mean(0)
    torch.testing.assert_close(mean, end.eval()(h), atol=0.03, rtol=0.03)
    assert torch.equal(end(h), h * 0.7)


@pytest.mark.parametrize("per", ["batch", "image", "pixel"])
def test_bfloat16_stays_bfloat16(per):
    h = torch.randn(2, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    out = Shake(0.0, per)(h)
    out.sum().backward()
    assert out.dtype == h.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("survival", [1.0, 0.0])
def test_compiled_in_one_graph_with_the_right_gradient(survival):
    torch._dynamo.reset()
    h = torch.randn(2, 3, 4, 4, requires_grad=True)
    compiled = torch.compile(Shake(survival, "image"), backend="aot_eager", fullgraph=True)
    torch.manual_seed(0)
    out = compiled(h)
    out.sum().backward()
    forward, backward = (out / h)[:, 0, 0, 0], h.grad[:, 0, 0, 0]
    torch.testing.assert_close(out, h * forward.view(-1, 1, 1, 1))
    torch.testing.assert_close(h.grad, backward.view(-1, 1, 1, 1).expand_as(h))
    if survival:
        assert torch.equal(out, h)
        assert torch.equal(h.grad, torch.ones_like(h))
    else:
        assert not torch.isclose(forward, backward).any()
        assert (backward > 0).all()
