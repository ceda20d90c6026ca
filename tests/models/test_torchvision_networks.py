"""Against torchvision, which builds the same networks in other words."""

import pytest
import torch
import torchvision

from msda_train.models.class_maps import class_maps
from msda_train.models.resnet import resnet
from msda_train.models.resnet50 import resnet50
from msda_train.models.vgg import vgg16_bn, vgg_gap


def ordered_copy(ours, theirs):
    """Their weights and buffers into ours, in the order of building."""
    ours_state, theirs_state = ours.state_dict(), theirs.state_dict()
    assert [v.shape for v in ours_state.values()] == [v.shape for v in theirs_state.values()]
    ours.load_state_dict(dict(zip(ours_state, theirs_state.values(), strict=True)))


def test_resnet50_is_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(weights=None, num_classes=7)
    ours = resnet50([3, 4, 6, 3], 64, classes=7, channels=3)
    ordered_copy(ours, theirs)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("classes", [100, 1000])
def test_resnet50_has_torchvisions_parameters(classes):
    with torch.device("meta"):
        ours = sum(p.numel() for p in resnet50([3, 4, 6, 3], 64, classes=classes, channels=3).parameters())
        theirs = sum(p.numel() for p in torchvision.models.resnet50(num_classes=classes).parameters())
    assert ours == theirs
    if classes == 1000:
        assert ours == 25_557_032


@pytest.mark.parametrize(
    ("name", "blocks", "width", "groups", "count"),
    [
        ("resnet101", [3, 4, 23, 3], 64, 1, 44_549_160),
        ("resnext101_32x4d", [3, 4, 23, 3], 4, 32, 44_177_704),  # torchvision has 32x8d and 64x4d only
    ],
)
def test_the_deeper_ones_have_the_known_parameters(name, blocks, width, groups, count):
    """torchvision's own layers, counted one by one; 44.5 M and 44.2 M are known of the two."""
    with torch.device("meta"):
        ours = resnet50(blocks, width, groups, classes=1000, channels=3)
        kind = torchvision.models.resnet.Bottleneck
        theirs = torchvision.models.ResNet(kind, blocks, groups=groups, width_per_group=width)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    assert sum(p.numel() for p in ours.parameters()) == count


def test_a_regulariser_ends_every_branch_of_a_bottleneck():
    """With gates that are always open the network is as without; closed, only shortcuts are left."""

    class Gate(torch.nn.Module):
        def __init__(self, factor, place):
            super().__init__()
            self.factor, self.place = factor, place

        def forward(self, h):
            return h * self.factor

    class Gates:
        def __init__(self, factor):
            self.factor, self.places = factor, []

        def branch(self, block, blocks):
            self.places.append((block, blocks))
            return Gate(self.factor, block)

    x = torch.randn(2, 3, 64, 64)
    torch.manual_seed(0)
    plain = resnet50([1, 2, 1, 1], 8, classes=4, channels=3)
    for factor in (1.0, 0.0):
        gates = Gates(factor)
        torch.manual_seed(0)
        gated = resnet50([1, 2, 1, 1], 8, classes=4, channels=3, regulariser=gates)
        assert gates.places == [(k, 5) for k in range(1, 6)]
        if factor:
            torch.testing.assert_close(gated(x), plain(x), rtol=0, atol=0)
        else:
            block = plain.stages[1][0]
            h = torch.rand(2, 256, 8, 8)
            torch.testing.assert_close(gated.stages[1](h), torch.relu(block.downsample(h)))


def test_the_small_resnets_are_torchvisions_blocks():
    """torchvision's layers behind our small stem; their shortcut is built last in a block, as ours is."""
    torch.manual_seed(0)
    for block, kind in (
        ("basic", torchvision.models.resnet.BasicBlock),
        ("bottleneck", torchvision.models.resnet.Bottleneck),
    ):
        theirs = torchvision.models.ResNet(kind, [2, 1, 1, 1], num_classes=5)
        theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        theirs.maxpool = torch.nn.Identity()
        ours = resnet([2, 1, 1, 1], 64, block, "he", 1, classes=5, channels=3)
        ordered_copy(ours, theirs)
        x = torch.randn(2, 3, 16, 16)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_vgg16_features_are_torchvisions():
    widths = [4, 4, "M", 8, 8, "M", *[16] * 3, "M", *[32] * 3, "M", *[32] * 3, "M"]  # theirs over 16
    assert [w if w == "M" else 16 * w for w in widths] == torchvision.models.vgg.cfgs["D"]
    theirs = torchvision.models.vgg.make_layers(widths, batch_norm=True)
    ours = torch.nn.Sequential(*vgg16_bn(4, 8, 0.5, classes=5, channels=3).stages[:5])
    ordered_copy(ours, theirs)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-4, atol=1e-6)


def test_vgg16_head_has_dropout_twice():
    head = vgg16_bn(2, 16, 0.5, classes=5, channels=3).stages[-1]
    assert [m.p for m in head if isinstance(m, torch.nn.Dropout)] == [0.5, 0.5]
    assert [m.out_features for m in head if isinstance(m, torch.nn.Linear)] == [16, 16, 5]


def test_resnext_is_torchvisions_behind_the_small_stem():
    torch.manual_seed(0)
    theirs = torchvision.models.ResNet(
        torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=5, groups=32, width_per_group=4
    )
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    ours = resnet([1, 1, 1, 1], 64, "bottleneck", "openmixup", 1, [32, 4], classes=5, channels=3)
    ordered_copy(ours, theirs)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_resnext50_has_torchvisions_parameters_but_for_the_stem():
    with torch.device("meta"):
        ours = resnet([3, 4, 6, 3], 64, "bottleneck", "torch", 1, [32, 4], classes=1000, channels=3)
        theirs = torchvision.models.resnext50_32x4d()
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters()) - 64 * 3 * (7 * 7 - 3 * 3)


def test_openmixups_first_weights():
    torch.manual_seed(0)
    network = resnet([1, 1], 64, "bottleneck", "openmixup", 1, [32, 4], classes=50, channels=3)
    last = [m.branch[-1] for m in network.modules() if hasattr(m, "branch")]
    assert all((norm.weight == 0).all() for norm in last)
    head = network.stages[-1][-1]
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert (head.bias == 0).all()
    conv = last and network.stages[1][0].branch[6]  # He, fan out: the last 1x1 convolution
    assert conv.weight.std().item() == pytest.approx((2 / conv.out_channels) ** 0.5, rel=0.05)


def test_vgg_gap_is_torchvisions_vgg16_less_its_last_pooling_and_zhous_end():
    """At 224 pixels: maps of 14x14, whose average one linear layer reads, so that CAM is exact."""
    widths = [4, 4, "M", 8, 8, "M", *[16] * 3, "M", *[32] * 3, "M", *[32] * 3]
    theirs = torchvision.models.vgg.make_layers(widths)
    ours = vgg_gap(4, 64, 2, 0.5, classes=5, channels=3).eval()
    body, new = torch.nn.Sequential(*ours.stages[:4], ours.stages[4][:-2]), ours.stages[4][-2]
    ordered_copy(body, theirs)
    x = torch.randn(1, 3, 224, 224)
    features = theirs(x)
    torch.testing.assert_close(body(x), features, rtol=1e-4, atol=1e-6)
    assert (new.kernel_size, new.padding, new.groups, new.out_channels) == ((3, 3), (1, 1), 2, 64)
    assert new.weight.std().item() == pytest.approx(0.01, rel=0.1)
    linear = ours.stages[-1][-1]
    seen = new(features).relu()
    assert seen.shape == (1, 64, 14, 14)
    torch.testing.assert_close(ours(x), linear(seen.mean((2, 3))), rtol=1e-4, atol=1e-5)
    found = class_maps(ours, x, torch.tensor([3]))
    assert found.kind == "cam"
    by_hand = torch.einsum("chw,c->hw", seen[0], linear.weight[3])
    torch.testing.assert_close(found.maps[0], by_hand, rtol=1e-4, atol=1e-5)


def test_without_its_last_stride_resnet50_has_the_weights_and_a_map_twice_as_large():
    torch.manual_seed(0)
    plain, wide = (resnet50([1, 1, 1, 2], 4, last_stride=s, classes=5, channels=3).eval() for s in (2, 1))
    wide.load_state_dict(plain.state_dict())
    h = torch.nn.Sequential(*plain.stages[:3])(torch.randn(1, 3, 224, 224))
    shapes = [tuple(network.stages[3](h).shape[2:]) for network in (plain, wide)]
    assert shapes == [(7, 7), (14, 14)]
    first = wide.stages[3][0]
    block = first.relu(first.bn1(first.conv1(h)))
    block = first.bn2(torch.nn.functional.conv2d(block, first.conv2.weight, stride=1, padding=1)).relu()
    short = first.downsample[1](torch.nn.functional.conv2d(h, first.downsample[0].weight))
    by_hand = (first.bn3(first.conv3(block)) + short).relu()
    torch.testing.assert_close(first(h), by_hand, rtol=1e-4, atol=1e-5)
