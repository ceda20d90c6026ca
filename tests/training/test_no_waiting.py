"""Nothing inside a training step needs a value on the host: shown without a GPU, by steps on torch's meta
device, whose tensors have no values that anybody could ask for."""

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.learns import Learns
from msda_train.core.mix import Extends
from msda_train.core.paths import CONFIGS
from msda_train.training.device import Compute
from msda_train.training.step import Step
from msda_train.training.update import Update

# Co-Mixup solves its batch on the host, Kernel Mixup warps its weights there: one transfer a step, as their
# files say. Factor mixup has to be told what pictures were drawn from: tests/methods/test_factor_mixup.py.
ON_THE_HOST = ("comixup", "kernel_mixup", "factor_mixup")
TAUGHT = ("attentive_cutmix", "tokenmix")
METHODS = sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml") if p.stem not in ON_THE_HOST)


def _step(word, *more):
    cfg = compose("dataset=cifar10", f"method={word}", "recipe.cutout=8", "recipe.label_smoothing=0.1", *more)
    words = ["model=preactresnet18", "model.width=4", "model.blocks=[1,1,1]"]
    if word in ("mixpro", "transmix", "smmix"):
        words = ["model=deit_s", "model.size=[32,32]", "model.patch=8", "model.width=4", "model.heads=2"]
    model = compose(*words).model
    recipe, compute = build("recipe", cfg.recipe), Compute(torch.device("cpu"), "fp32", False)
    with torch.device("meta"):
        network = build("model", model, classes=10, channels=3)
        if isinstance(method := build("method", cfg.method), Extends):
            method.extend(network, 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    update = Update(network, network, recipe.loss, optimizer, compute)
    if isinstance(method, Learns):
        method = method.learn(network, lambda learned: torch.optim.SGD(learned.parameters(), lr=0.1))
        return Step(method, recipe.augment, 10, update, learning=method)
    return Step(method, recipe.augment, 10, update)


def _batch():
    x = torch.empty(8, 3, 32, 32, device="meta").contiguous(memory_format=torch.channels_last)
    return x, torch.empty(8, dtype=torch.int64, device="meta")


@pytest.mark.parametrize("word", METHODS)
def test_a_step_asks_for_no_value(word, teacher):
    step = _step(word, *([f"method.teacher={teacher}"] if word in TAUGHT else []))
    for k in range(5):  # a coin or a drawn depth or grid may hide a part
        assert step(*_batch(), np.random.default_rng(k)).device.type == "meta"


def test_a_method_that_asks_is_caught():
    """What makes the test above able to fail."""
    step = _step("comixup")
    with pytest.raises(NotImplementedError, match="meta"):
        step(*_batch(), np.random.default_rng(0))
