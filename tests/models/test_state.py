"""What a network holds: its parameters and its buffers, all of them in its state, and nothing else that a
step changes."""

import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose

WRN = ["model=wrn28_10", "model.depth=10", "model.width=1"]
NETWORKS = [
    ["model=preactresnet18", "model.width=4", "model.dropout=0.1"],
    [*WRN, "model.dropout=0.1"],
    [*WRN, "regulariser=shakedrop"],
    [*WRN, "regulariser=stochdepth"],
    [*WRN, "regulariser=dropblock"],
    ["model=pyramidnet110", "model.depth=11", "model.alpha=6", "model.pad_channels=8"],
    ["model=densenet_bc190", "model.depth=10", "model.growth=4", "model.checkpointing=true"],
    ["model=resnet18", "model.width=4"],
    ["model=shake_shake26", "model.depth=8", "model.width=4"],
    ["model=vgg16_bn", "model.width=4", "model.hidden=8"],
    ["model=vgg_gap", "model.width=4", "model.units=8"],
    ["model=resnet50", "model.width=4", "model.blocks=[1,1,1,1]"],
    [
        "model=deit_s",
        "model.size=[32,32]",
        "model.patch=8",
        "model.width=8",
        "model.depth=4",
        "model.heads=2",
    ],
    ["model=swin_t", "model.width=6", "model.heads=[1,2,3,4]", "model.patch=2", "model.window=4"],
]


@pytest.mark.parametrize("words", NETWORKS, ids=lambda words: "-".join(words[:4]))
def test_a_network_is_its_parameters_and_buffers(words):
    """What is kept is started anew by writing over these: nothing else may remember a step."""
    network = build("model", compose("dataset=cifar10", *words).model, classes=10, channels=3)
    tensors = {*dict(network.named_parameters()), *dict(network.named_buffers())}
    assert tensors == set(network.state_dict())
    before = _facts(network)
    for size in (4, 2):
        network(torch.randn(size, 3, 32, 32)).sum().backward()
    network.eval()(torch.randn(3, 3, 32, 32))
    network.train()
    assert _facts(network) == before


def _facts(network):
    """All that a module holds besides tensors and other modules."""
    inner = ("_parameters", "_buffers", "_modules")
    return [
        {key: repr(value) for key, value in vars(module).items() if key not in inner}
        for module in network.modules()
    ]
