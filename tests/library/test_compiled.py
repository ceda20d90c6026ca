"""A call is left out of a compiled graph; a plan inside a compiled network stays in it."""

import pytest
import torch

from msda_train import Mixer


@pytest.fixture
def counters():
    """torch's own counts of what it compiled."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["cutmix", ["mixup", "cutmix", "fmix"]])
def test_a_call_in_a_compiled_function(name, counters):
    mix = Mixer(name, prob=1.0, num_classes=4, seed=0)
    x, y = torch.randn(4, 3, 8, 8), torch.arange(4)

    def work(x, y):
        mixed, target = mix(x, y)
        return (mixed * 1.5).sum() * target

    plain = [work(x, y) for _ in range(4)]
    mix.step = 0
    compiled = torch.compile(work, backend="eager")
    assert all(torch.equal(compiled(x, y), expected) for expected in plain)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("options", [{}, {"block_gradients": True}])
def test_mixing_inside_a_compiled_network(counters, options):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 4))
    mix = Mixer("manifold_mixup", num_classes=4, seed=0, model=net, layers=["1", "2"], **options)
    x, y = torch.randn(4, 3, 8, 8), torch.arange(4)

    def logits(network):
        mix.step = 0
        return [network(mix(x, y)[0]) for _ in range(20)]

    compiled = torch.compile(net, backend="eager")
    for one, other in zip(logits(net), logits(compiled), strict=True):
        torch.testing.assert_close(one, other)
    assert counters["stats"]["unique_graphs"] == 3  # one for each depth
    assert not counters["graph_break"]
