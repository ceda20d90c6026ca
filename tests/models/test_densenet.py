import pytest
import torch
from torch import nn

from msda_train.models.densenet import DenseLayer, densenet


def test_channels_by_hand():
    """Depth 16, growth 6: two layers a block; 12 -> 24 | 12 -> 24 | 12 -> 24."""
    network = densenet(16, 6, 0.5, False, classes=10, channels=3)
    layers = [m for m in network.modules() if isinstance(m, DenseLayer)]
    assert [m.bn1.num_features for m in layers] == [12, 18, 12, 18, 12, 18]
    assert all(m.conv1.out_channels == 24 and m.conv2.out_channels == 6 for m in layers)
    assert [network.stages[k][2].out_channels for k in (1, 2)] == [12, 12]
    assert network.stages[-1][-1].in_features == 24


def test_published_channels():
    with torch.device("meta"):
        network = densenet(190, 40, 0.5, False, classes=10, channels=3)
    layers = [m for m in network.modules() if isinstance(m, DenseLayer)]
    assert len(layers) == 93
    assert [layers[i].bn1.num_features for i in (0, 30, 31, 62)] == [80, 1280, 660, 950]
    assert network.stages[-1][-1].in_features == 2190


def test_a_block_keeps_what_came_in_and_appends():
    network = densenet(16, 3, 0.5, False, classes=10, channels=3).eval()
    block, x = network.stages[0][-1], torch.randn(2, 6, 8, 8)
    out = block(x)
    first = block.layers[0](x)
    second = block.layers[1](x, first)
    assert torch.equal(out[:, :6], x)
    torch.testing.assert_close(out, torch.cat([x, first, second], dim=1))


def train(checkpointing, *, bf16=False, backend=None, depth=16, steps=3):
    """Logits of every step, then all weights, gradients and buffers."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = densenet(depth, 4, 0.5, checkpointing, classes=10, channels=3)
    forward = torch.compile(network, backend=backend, fullgraph=True, dynamic=False) if backend else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y, told = torch.randn(4, 3, 16, 16), torch.tensor([1, 2, 3, 4]), []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = forward(x)
        nn.functional.cross_entropy(logits.float(), y).backward()
        optimizer.step()
        told.append(logits)
    return [*told, *(p.grad for p in network.parameters()), *network.state_dict().values()]


@pytest.mark.parametrize("bf16", [False, True])
def test_checkpointing_changes_no_bit(bf16):
    """Not of the running statistics either: a batch counts once."""
    plain, saved = train(False, bf16=bf16), train(True, bf16=bf16)
    assert all(torch.equal(a, b) for a, b in zip(plain, saved, strict=True))


def test_checkpointing_changes_nothing_compiled():
    """A compiled network concatenates, so it rounds otherwise; BatchNorm counts a batch once there, too."""
    for a, b in zip(train(False, depth=10), train(True, backend="aot_eager", depth=10), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_checkpointing_computes_again_and_keeps_less():
    """The growing part runs twice in a training step, once in evaluation, and its inputs are not stored."""

    def count(checkpointing):
        network = densenet(46, 4, 0.5, checkpointing, classes=10, channels=3)
        runs, stored = [], {}
        for layer in network.modules():
            if isinstance(layer, DenseLayer):
                layer.conv1.register_forward_pre_hook(lambda *_: runs.append(1))

        def pack(t):
            stored[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = network(torch.randn(2, 3, 16, 16)).sum()
        loss.backward()
        trained = len(runs)
        with torch.no_grad():
            network(torch.randn(2, 3, 16, 16))
        network.eval()(torch.randn(2, 3, 16, 16))
        return trained, len(runs) - trained, sum(stored.values())

    trained, evaluated, plain = count(False)
    assert (trained, evaluated) == (21, 42)
    trained, evaluated, saved = count(True)
    assert (trained, evaluated) == (42, 42)
    assert saved < 0.75 * plain
