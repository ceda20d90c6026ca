import pytest
import torch
from torch import nn

from msda_train.models.padding import PaddedBatchNorm2d, PaddedConv2d
from msda_train.models.pyramidnet import BasicPyramidBlock, PyramidBlock, pyramidnet


def test_widths_by_hand():
    """alpha 9 over three blocks from 16 channels: 19, 22, 25, and four times as many at a block's end."""
    network = pyramidnet(11, 9, 16, classes=10, channels=3)
    blocks = [m for m in network.modules() if isinstance(m, PyramidBlock)]
    assert [b.conv2.out_channels for b in blocks] == [19, 22, 25]
    assert [(b.conv1.in_channels, b.conv3.out_channels) for b in blocks] == [(16, 76), (76, 88), (88, 100)]
    assert [b.conv2.stride[0] for b in blocks] == [1, 2, 2]
    assert [b.channels - b.conv1.in_channels for b in blocks] == [60, 12, 12]


@pytest.mark.parametrize(("depth", "alpha", "last"), [(200, 240, 256), (110, 64, 80)])
def test_published_widths(depth, alpha, last):
    with torch.device("meta"):
        network = pyramidnet(depth, alpha, 16, classes=10, channels=3)
    blocks = [m for m in network.modules() if isinstance(m, PyramidBlock)]
    widths = [b.conv2.out_channels for b in blocks]
    width, expected = 16.0, []
    for _ in range((depth - 2) // 9 * 3):  # the authors' code adds up, block by block
        width += alpha / ((depth - 2) // 9 * 3)
        expected.append(round(width))
    assert widths == expected
    assert widths[-1] == last


@pytest.mark.parametrize("side", [8, 7])
def test_the_shortcut_is_pooled_and_padded_with_zeros(side):
    block = PyramidBlock(5, 3, 2, end=nn.Identity()).eval()
    nn.init.zeros_(block.bn4.weight)  # the branch is silent
    x = torch.randn(2, 5, side, side)
    out = block(x)
    half = (side + 1) // 2
    assert out.shape == (2, 12, half, half)
    assert not out[:, 5:].any()
    for i in range(half):
        for j in range(half):
            window = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            torch.testing.assert_close(out[:, :5, i, j], window.mean((2, 3)))


def test_the_branch_starts_without_relu_and_ends_with_batch_norm():
    block = PyramidBlock(4, 2, 1, end=nn.Identity())
    x, seen = torch.randn(8, 4, 6, 6), {}
    block.conv1.register_forward_pre_hook(lambda module, args: seen.update(first=args[0]))
    block.end.register_forward_pre_hook(lambda module, args: seen.update(last=args[0]))
    block(x)
    assert (seen["first"] < 0).any()
    torch.testing.assert_close(seen["last"].mean((0, 2, 3)), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen["last"].var((0, 2, 3)), torch.ones(8), atol=2e-2, rtol=0)


def test_the_stem_has_no_relu():
    network = pyramidnet(11, 6, 4, classes=10, channels=3)
    assert [type(m) for m in network.stages[0]] == [PaddedConv2d, PaddedBatchNorm2d, PyramidBlock]


def test_basic_blocks_by_hand():
    """alpha 7 over six blocks from 16 channels, rounded up: 18, 19, 20, 21, 22, 23; no expansion."""
    network = pyramidnet(14, 7, 16, basic=True, classes=10, channels=3)
    blocks = [m for m in network.modules() if isinstance(m, BasicPyramidBlock)]
    assert [b.conv1.out_channels for b in blocks] == [18, 19, 20, 21, 22, 23]
    assert [b.conv1.stride[0] for b in blocks] == [1, 1, 2, 1, 2, 1]
    assert network.stages[0][0].bias is not None
    assert (network.stages[-1][-1].bias == 0).all()


@pytest.mark.parametrize("side", [8, 7])
def test_the_shortcut_of_a_basic_block(side):
    block = BasicPyramidBlock(5, 8, 2, end=nn.Identity()).eval()
    nn.init.zeros_(block.bn3.weight)
    x = torch.randn(2, 5, side, side)
    out = block(x)
    assert not out[:, 5:].any()
    torch.testing.assert_close(out[:, :5], nn.functional.avg_pool2d(x, 2, ceil_mode=True))


def test_a_basic_branch_in_its_order():
    """No ReLU at the start, one in the middle, none at the end."""
    block, x = BasicPyramidBlock(4, 6, 1, end=nn.Identity()).eval(), torch.randn(2, 4, 5, 5)
    h = block.conv1(block.bn1(x))
    h = block.bn3(block.conv2(torch.relu(block.bn2(h))))
    torch.testing.assert_close(block(x), h + nn.functional.pad(x, (0, 0, 0, 0, 0, 2)))
