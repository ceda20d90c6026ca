"""Against torchvision, which builds the same networks in other words."""

import pytest
import torch
import torchvision

from msda_train.models.resnet import resnet
from msda_train.models.resnet50 import resnet50
from msda_train.models.vgg import vgg16_bn


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
