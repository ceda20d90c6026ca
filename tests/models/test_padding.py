import pytest
import torch
from torch import nn

from msda_train.models.dropblock import DropBlock
from msda_train.models.padding import Narrow, PaddedBatchNorm2d, PaddedConv2d
from msda_train.models.pyramidnet import pyramidnet
from msda_train.models.shakedrop import ShakeDrop
from msda_train.models.stochdepth import StochDepth


def pair(regulariser=None, *, double=True):
    """The same network with channels as they are and in multiples of 8: widths 5, 7, 9, four times
    those at a block's end."""
    networks = []
    for multiple in (1, 8):
        torch.manual_seed(0)
        made = pyramidnet(11, 6, 3, multiple, classes=5, channels=3, regulariser=regulariser)
        networks.append(made.to(torch.float64 if double else torch.float32))
    return networks


def train(network, *, steps=3):
    """Logits and gradients of every step, then all weights and statistics, then logits in evaluation mode."""
    dtype = next(network.parameters()).dtype
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    draw = torch.Generator().manual_seed(1)
    x, y, told = torch.randn(6, 3, 16, 16, generator=draw).to(dtype), torch.arange(6) % 5, []
    torch.manual_seed(2)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(x)
        nn.functional.cross_entropy(logits, y).backward()
        told += [logits, *(p.grad.clone() for p in network.parameters())]
        optimizer.step()
    return [*told, *network.state_dict().values(), network.eval()(x)]


@pytest.mark.parametrize(
    "regulariser",
    [
        None,
        StochDepth(0.5),
        ShakeDrop(0.9),
        ShakeDrop(0.9, per="pixel"),
        DropBlock(0.3, 2),
    ],
    ids=str,
)
def test_padding_changes_no_number(regulariser):
    """Draws of a regulariser, gradients and running statistics included."""
    plain, padded = (train(network) for network in pair(regulariser))
    assert len(plain) == len(padded)
    for a, b in zip(plain, padded, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_in_single_precision_one_step_agrees_to_its_rounding():
    plain, padded = (train(network, steps=1) for network in pair(double=False))
    for a, b in zip(plain, padded, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_parameters_and_checkpoints_are_the_same():
    plain, padded = pair()
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in padded.state_dict().items()
    }
    for a, b in zip(plain.state_dict().values(), padded.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    train(plain)
    padded.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(plain.eval()(x), padded.eval()(x))


@pytest.mark.parametrize("training", [True, False])
def test_every_convolution_sees_multiples_of_8_and_zeros(training):
    """Between stages, where features are mixed and looked at, there is no padding."""
    network, seen, between = pair(ShakeDrop(0.5))[1].train(training), [], []

    def look(module, args, out):
        seen.append((args[0], out, module.in_channels, module.out_channels))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(look)
    for stage in network.stages:
        stage.register_forward_hook(lambda module, args, out: between.append(out.shape[1]))
    network(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    assert len(seen) == 10
    for h, out, channels_in, channels in seen:
        assert h.shape[1] % 8 == 0 or channels_in == 3  # the image is filled up in the convolution
        assert out.shape[1] == -(-channels // 8) * 8
        assert not h[:, channels_in:].any()
        assert not out[:, channels:].any()
    assert between == [20, 28, 36, 5]


def test_kernels_are_handed_multiples_of_8(monkeypatch):
    """Of the image's channels, too."""
    shapes, plain = [], nn.functional.conv2d
    monkeypatch.setattr(nn.functional, "conv2d", lambda h, w, *a: shapes.append(w.shape) or plain(h, w, *a))
    conv = PaddedConv2d(3, 5, 3, 2, multiple=8)
    x = torch.randn(2, 3, 8, 8)
    out = conv(x)
    assert shapes == [(8, 8, 3, 3)]
    torch.testing.assert_close(out[:, :5], plain(x, conv.weight, None, 2, 1))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_filled_up_channels(training):
    plain, padded = nn.BatchNorm2d(3), PaddedBatchNorm2d(3)
    for norm in (plain, padded):
        norm.train(training).weight.data.copy_(torch.tensor([2.0, -1.0, 0.5]))
    x = torch.randn(4, 3, 5, 5)
    wide = torch.cat([x, torch.zeros(4, 5, 5, 5)], dim=1)
    out = padded(wide)
    torch.testing.assert_close(out[:, :3], plain(x))
    assert not out[:, 3:].any()
    for a, b in zip(plain.buffers(), padded.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_end_of_a_stage_is_dense():
    x = torch.randn(2, 8, 4, 4)
    out = Narrow(5)(x)
    assert torch.equal(out, x[:, :5])
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_padding_compiles_to_one_graph():
    torch._dynamo.reset()
    eager, network = pair(double=False)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=False)
    x = torch.randn(2, 3, 16, 16)
    out = compiled(x)
    torch.testing.assert_close(out, eager(x), rtol=1e-4, atol=1e-5)
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
