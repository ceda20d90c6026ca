"""Shake-Shake against slow loops, against the network written out, and against what it draws."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.models.shake_shake import Coefficients, ShakeBlock, Shaken, TwoPaths, shake_shake

EXACT = {"atol": 1e-5, "rtol": 1e-4}


def _network(bottleneck=False, **options):
    torch.manual_seed(0)
    made = {"forward_shake": True, "backward_shake": True, "per": "image", "cardinality": 1} | options
    depth = 11 if bottleneck else 8
    network = shake_shake(depth, 4, bottleneck=bottleneck, classes=10, channels=3, **made)
    for module in network.modules():  # so that a BatchNorm in the wrong place shows
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network


class Pinned(nn.Module):
    """Known coefficients in place of draws."""

    def __init__(self, alpha, beta):
        super().__init__()
        self.values = torch.stack([alpha, beta], dim=1)

    def forward(self, rows):
        return self.values


def test_coefficients_against_a_slow_loop():
    """alpha forward and beta backward, every element of every image by itself."""
    torch.manual_seed(0)
    shape = (3, 2, 2, 2)
    first, second = (torch.randn(shape, requires_grad=True) for _ in range(2))
    alpha, beta, grad = torch.rand(3, 1, 1, 1), torch.rand(3, 1, 1, 1), torch.randn(shape)
    out = Shaken.apply(first, second, alpha, beta)
    out.backward(grad)
    for i in map(tuple, torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist()):
        a, b = alpha[i[0]].item(), beta[i[0]].item()
        assert out[i].item() == pytest.approx(a * first[i].item() + (1 - a) * second[i].item(), abs=1e-6)
        assert first.grad[i].item() == pytest.approx(b * grad[i].item(), abs=1e-6)
        assert second.grad[i].item() == pytest.approx((1 - b) * grad[i].item(), abs=1e-6)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_gradients_of_a_block_use_beta_for_weights_and_image(bottleneck):
    """As if the block had been computed with beta from the start, but for what its output is worth."""
    torch.manual_seed(0)
    alpha, beta = torch.rand(2, 4)
    draws = Pinned(alpha, beta)
    block = ShakeBlock(4, 4, 1, inner=4 if bottleneck else 0, groups=1, coefficients=draws)
    block.after = nn.Identity()  # linear, so that the gradient does not depend on the output
    x, grad = torch.randn(4, 4, 5, 5, requires_grad=True), torch.randn(4, 4, 5, 5)
    out = block(x)
    out.backward(grad)
    h, column = block.before(x), (slice(None), None, None, None)
    first, second = block.first(h), block.second(h)
    torch.testing.assert_close(out, x + alpha[column] * first + (1 - alpha[column]) * second, **EXACT)
    expected = x + beta[column] * first + (1 - beta[column]) * second
    wanted = torch.autograd.grad(expected, [x, *block.first.parameters(), *block.second.parameters()], grad)
    found = [x.grad, *(p.grad for p in [*block.first.parameters(), *block.second.parameters()])]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize(("per", "different"), [("image", 4), ("batch", 1)])
def test_draws(per, different):
    """alpha and beta fill (0, 1), independent of each other; one each for an image, or for all."""
    torch.manual_seed(0)
    coefficients = Coefficients(forward_shake=True, backward_shake=True, per=per)
    drawn = torch.stack([coefficients(torch.zeros(4, 1)) for _ in range(2000)])
    assert drawn.shape == (2000, 4, 2)
    assert drawn.dtype == torch.float32
    assert all(len(one.unique()) == different for one in drawn[:50, :, 0])
    alpha, beta = drawn[:, 0, 0], drawn[:, 0, 1]
    for values in (alpha, beta):
        assert 0 <= values.min() < 0.01
        assert 0.99 < values.max() < 1
        assert values.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 2000))
        assert values.var().item() == pytest.approx(1 / 12, rel=0.1)
    assert abs(torch.corrcoef(torch.stack([alpha, beta]))[0, 1]) < 4 / math.sqrt(2000)


@pytest.mark.parametrize(("shaken", "even"), [((True, False), 1), ((False, True), 0), ((False, False), 0)])
def test_even_is_one_half(shaken, even):
    torch.manual_seed(0)
    drawn = Coefficients(forward_shake=shaken[0], backward_shake=shaken[1], per="image")(torch.zeros(64, 1))
    assert drawn[:, even].eq(0.5).all()
    assert bool(drawn[:, 1 - even].eq(0.5).all()) == (shaken == (False, False))


def test_evaluation_takes_one_half_and_draws_nothing():
    network, x = _network().eval(), torch.randn(2, 3, 16, 16)
    state = torch.get_rng_state()
    out = network(x)
    assert torch.equal(state, torch.get_rng_state())
    torch.testing.assert_close(out, _by_hand(network.state_dict(), x, bottleneck=False), **EXACT)


def test_the_bottlenecks_written_out():
    network, x = (
        _network(bottleneck=True, cardinality=2, backward_shake=False).eval(),
        torch.randn(2, 3, 16, 16),
    )
    torch.testing.assert_close(network(x), _by_hand(network.state_dict(), x, bottleneck=True), **EXACT)


def _by_hand(state, x, *, bottleneck):
    """One block a group, as xgastaldi's shakeshake.lua and shakeshakeblock.lua put it together."""

    def norm(h, name):
        scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
        shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
        return h * scale[:, None, None] + shift[:, None, None]

    def conv(h, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(
            h, weight, stride=stride, padding=weight.shape[2] // 2, groups=h.shape[1] // weight.shape[1]
        )

    h = norm(conv(x, "stages.0.0"), "stages.0.1")
    h = h.relu() if bottleneck else h
    for group in range(3):
        block = f"stages.{group}.{0 if group else 2 + bottleneck}"
        stride, branches = 1 + (group > 0), []
        for name in (f"{block}.first", f"{block}.second"):
            if bottleneck:
                inner = norm(conv(h, f"{name}.0"), f"{name}.1").relu()
                inner = norm(conv(inner, f"{name}.3", stride), f"{name}.4").relu()
                branches.append(norm(conv(inner, f"{name}.6"), f"{name}.7"))
            else:
                inner = norm(conv(h.relu(), f"{name}.0", stride), f"{name}.1").relu()
                branches.append(norm(conv(inner, f"{name}.3"), f"{name}.4"))
        if bottleneck:
            shortcut = norm(conv(h, f"{block}.shortcut.0", stride), f"{block}.shortcut.1")
        else:
            shortcut = _two_paths(state, f"{block}.shortcut", h.relu(), stride, norm)
        h = shortcut + (branches[0] + branches[1]) / 2
        h = h.relu() if bottleneck else h
    return h.relu().mean(dim=(2, 3)) @ state["stages.3.2.weight"].T + state["stages.3.2.bias"]


def _two_paths(state, name, h, stride, norm):
    """Pixel by pixel: the second path sees what lies one pixel up and left, and zeros beyond the edge."""
    rows = range(0, h.shape[2], stride)
    paths = []
    for path, back in (("conv1", 0), ("conv2", 1)):
        seen = torch.zeros(len(h), h.shape[1], len(rows), len(rows))
        for i, row in enumerate(rows):
            for j, column in enumerate(rows):
                if min(row, column) >= back:
                    seen[:, :, i, j] = h[:, :, row - back, column - back]
        paths.append(torch.einsum("bchw,dc->bdhw", seen, state[f"{name}.{path}.weight"][:, :, 0, 0]))
    return norm(torch.cat(paths, dim=1), f"{name}.norm")


def test_an_odd_side_and_odd_channels_fit():
    assert TwoPaths(3, 5, 2)(torch.randn(2, 3, 7, 7)).shape == (2, 5, 4, 4)


def test_the_same_generator_gives_the_same_step():
    """Forward and backward: what a checkpoint keeps of the generator is all that a block's draws need."""
    network, x = _network(), torch.randn(4, 3, 16, 16)
    grads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        network.zero_grad()
        network(x).sum().backward()
        grads.append(network.stages[0][0].weight.grad.clone())
    assert torch.equal(grads[0], grads[1])
    assert not torch.equal(grads[0], grads[2])


def test_bfloat16_stays_bfloat16():
    first, second = (torch.randn(2, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    out = Shaken.apply(first, second, torch.rand(2, 1, 1, 1), torch.rand(2, 1, 1, 1))
    out.sum().backward()
    assert out.dtype == first.grad.dtype == second.grad.dtype == torch.bfloat16


def test_compiled_in_one_graph_with_the_same_gradients():
    torch._dynamo.reset()
    torch.manual_seed(0)
    block = ShakeBlock(4, 4, 1, inner=0, groups=1, coefficients=Pinned(*torch.rand(2, 4)))
    x = torch.randn(4, 4, 5, 5)
    found = []
    for run in (block, torch.compile(block, backend="aot_eager", fullgraph=True)):
        block.zero_grad()
        run(x).square().sum().backward()
        found.append([parameter.grad.clone() for parameter in block.parameters()])
    for ours, compiled in zip(*found, strict=True):
        torch.testing.assert_close(ours, compiled)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 27}, "model.depth=27: .* 6n \\+ 2; type model.depth=26"),
        ({"depth": 28, "bottleneck": True}, "model.depth=28: .* 9n \\+ 2; type model.depth=20"),
        ({"cardinality": 4}, "model.cardinality: is of bottlenecks; type model.bottleneck=true"),
        ({"per": "pixel"}, "model.per=pixel: unknown"),
        ({"forward_shake": 1}, "model.forward_shake=1: must be true or false"),
        ({"width": 1}, "model.width=1"),
    ],
)
def test_wrong_options_are_refused(options, said):
    made = {"depth": 26, "width": 32, "forward_shake": True, "backward_shake": True, "per": "image"}
    made |= {"bottleneck": False, "cardinality": 1, "classes": 10, "channels": 3} | options
    with pytest.raises(UserError, match=said) as caught, torch.device("meta"):
        shake_shake(**made)
    assert "\n" not in str(caught.value)
