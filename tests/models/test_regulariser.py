"""Where the networks put a regulariser, and how they count their blocks."""

import pytest
import torch
from torch import nn

from msda_train.models.preactresnet import preactresnet
from msda_train.models.pyramidnet import pyramidnet
from msda_train.models.resnet import resnet
from msda_train.models.wide_resnet import wide_resnet


class Silence(nn.Module):
    """A branch that says nothing."""

    def forward(self, h):
        return h * 0


class Recorder:
    def __init__(self):
        self.calls = []

    def branch(self, block, blocks):
        self.calls.append((block, blocks))
        return Silence()


@pytest.mark.parametrize(
    ("build", "options", "count"),
    [
        (preactresnet, ([2, 1, 3], 4, "manifold", 1), 6),
        (wide_resnet, (16, 1, "standard", 0.0, "block", 1), 6),
        (resnet, ([2, 1], 4, "basic", "he", 1), 3),
        (resnet, ([2, 2], 4, "bottleneck", "he", 1), 4),
        (pyramidnet, (20, 6, 4), 6),
    ],
)
def test_every_branch_ends_with_its_own_module_before_the_shortcut_is_added(build, options, count):
    recorder = Recorder()
    network = build(*options, classes=10, channels=3, regulariser=recorder)
    assert recorder.calls == [(i + 1, count) for i in range(count)]
    blocks = [m for m in network.modules() if isinstance(getattr(m, "end", None), Silence)]
    assert len(blocks) == count
    block = blocks[1]  # of the first group: its shortcut is the input, and zeros in a PyramidNet
    x = torch.rand(2, next(p for p in block.parameters() if p.dim() == 4).shape[1], 8, 8)
    out = block(x)
    assert torch.equal(out[:, : x.shape[1]], x)
    assert not out[:, x.shape[1] :].any()
