"""LeNet and VGG-11 of the speech experiment, counted and mixed by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.methods.manifold_mixup import ManifoldMixup

SMALL = ["lenet_speech model.width=3 model.hidden=7", "vgg11_speech model.width=2 model.hidden=7"]


def _make(words, classes=30, channels=1):
    name, *more = words.split()
    return build("model", compose(f"model={name}", *more).model, classes=classes, channels=channels)


def _conv(side, into, out):
    return side * side * into * out + out


def test_parameter_counts_by_hand():
    """LeNet: 161x101 -> 157x97 -> 78x48 -> 74x44 -> 37x22. VGG-11: five times halved, 5x3."""
    lenet = _conv(5, 1, 20) + _conv(5, 20, 20) + (20 * 37 * 22 + 1) * 1000 + 1001 * 30
    assert lenet == 16_321_570
    plan = [(1, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    vgg = sum(_conv(3, into, out) + 2 * out for into, out in plan) + (512 * 5 * 3 + 1) * 512 + 513 * 30
    assert vgg == 13_172_894
    with torch.device("meta"):
        for words, count in (("lenet_speech", lenet), ("vgg11_speech", vgg)):
            network = _make(words)
            assert sum(p.numel() for p in network.parameters()) == count
            assert network(torch.empty(2, 1, 161, 101)).shape == (2, 30)


def test_lenet_is_what_its_paper_of_origin_computes():
    torch.manual_seed(0)
    network = _make(SMALL[0]).eval()
    x = torch.randn(2, 1, 161, 101)
    one, two, hidden, last = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    h = F.relu(F.max_pool2d(F.conv2d(x, one.weight, one.bias), 2))
    h = F.relu(F.max_pool2d(F.conv2d(h, two.weight, two.bias), 2))
    h = F.relu(h.reshape(2, -1) @ hidden.weight.T + hidden.bias)
    torch.testing.assert_close(network(x), h @ last.weight.T + last.bias)
    kinds = [type(module) for module in network.modules()]
    assert [kind for kind in kinds if "Dropout" in kind.__name__] == [nn.Dropout2d, nn.Dropout]


def test_the_head_of_vgg11_is_linear():
    """Nothing lies between its two layers: a linear map of the last pooling, of what is added there, too."""
    torch.manual_seed(0)
    head = _make(SMALL[1]).eval().stages[-1]
    a, b, zero = torch.randn(1, 16, 5, 3), torch.randn(1, 16, 5, 3), torch.zeros(1, 16, 5, 3)
    torch.testing.assert_close(head(a + b) + head(zero), head(a) + head(b))


@pytest.mark.parametrize("words", SMALL)
def test_mixing_at_each_depth_equals_doing_it_by_hand(words):
    torch.manual_seed(0)
    network, x, y = _make(words).eval(), torch.randn(4, 1, 161, 101), torch.arange(4)
    for depth in range(len(network.stages)):
        mix = ManifoldMixup(depths=[depth]).plan(x, y, network, generator(0, "mix", depth))
        h = x
        for k, stage in enumerate(network.stages):
            h = stage(mix.lam * h + (1 - mix.lam) * h[mix.perm] if k == depth else h)
        torch.testing.assert_close(network(x, mix), h)


@pytest.mark.parametrize("name", ["lenet_speech", "vgg11_speech"])
@pytest.mark.parametrize("size", ["[161]", "161", "[8,8]", "[161.5,101]"])
def test_a_wrong_size_is_one_line(name, size):
    with pytest.raises(UserError, match=r"^model\.size=") as caught:
        _make(f"{name} model.size={size}")
    assert "\n" not in str(caught.value)


def test_of_another_size_the_head_follows():
    for words in SMALL:
        network = _make(f"{words} model.size=[64,40]", channels=3)
        assert network(torch.randn(2, 3, 64, 40)).shape == (2, 30)
