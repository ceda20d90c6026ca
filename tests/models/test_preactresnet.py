"""ResNet-preact-20 as hysts/pytorch_image_classification has it, against the same written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.models.preactresnet import preactresnet


def _made(blocks, width, classes=10):
    torch.manual_seed(0)
    network = preactresnet(blocks, width, "hysts", 1, classes=classes, channels=3)
    for module in network.modules():  # so that a BatchNorm in the wrong place shows
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network.eval()


def _by_hand(state, x, blocks):
    """What its resnet_preact.py computes with preact_stage all true, first ReLU kept, no last BatchNorm."""

    def norm(h, name):
        scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
        shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
        return h * scale[:, None, None] + shift[:, None, None]

    h = F.conv2d(x, state["stages.0.0.weight"], padding=1)
    for group, count in enumerate(blocks):
        for i in range(count):
            block = f"stages.{group}.{i + (group == 0)}"
            stride = 2 if group and i == 0 else 1
            active = norm(h, f"{block}.bn1").relu()
            shortcut = active if i == 0 else h  # the first block of a group: also where it is the identity
            if f"{block}.projection.weight" in state:
                shortcut = F.conv2d(shortcut, state[f"{block}.projection.weight"], stride=stride)
            inner = F.conv2d(active, state[f"{block}.conv1.weight"], stride=stride, padding=1)
            inner = norm(inner, f"{block}.bn2").relu()
            h = F.conv2d(inner, state[f"{block}.conv2.weight"], padding=1) + shortcut
    head = f"stages.{len(blocks)}"
    pooled = norm(h, f"{head}.0").relu().mean(dim=(2, 3))
    return pooled @ state[f"{head}.3.weight"].T + state[f"{head}.3.bias"]


@pytest.mark.parametrize("blocks", [[3, 3, 3], [1, 2]])
def test_the_network_written_out(blocks):
    network, x = _made(blocks, 4), torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network(x), _by_hand(network.state_dict(), x, blocks), atol=1e-5, rtol=1e-4)


def test_it_starts_as_theirs():
    """Convolutions by fan out, BatchNorm at 1 and 0, no bias in the classifier, its weights PyTorch's own."""
    torch.manual_seed(0)
    network = preactresnet([3, 3, 3], 16, "hysts", 1, classes=10, channels=3)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 1 + 18 + 2
    for conv in convs:
        out, _, side, _ = conv.weight.shape
        room = 5 / (2 * conv.weight.numel()) ** 0.5  # five standard errors of a spread
        assert conv.weight.std().item() == pytest.approx((2 / (out * side * side)) ** 0.5, rel=room)
    classifier = network.stages[-1][-1]
    assert classifier.bias.eq(0).all()
    assert 0.9 / 8 < classifier.weight.abs().max().item() <= 1 / 8
    assert all(m.weight.eq(1).all() and m.bias.eq(0).all() for m in network.modules() if hasattr(m, "eps"))


def test_the_other_variants_keep_their_names():
    """A checkpoint of before finds its weights: no new name, none gone."""
    for variant in ("manifold", "mixup"):
        network = preactresnet([1, 1], 4, variant, 1, classes=10, channels=3)
        assert [name for name in network.state_dict() if name.startswith("stages.2")] == [
            "stages.2.1.weight",
            "stages.2.1.bias",
        ]
