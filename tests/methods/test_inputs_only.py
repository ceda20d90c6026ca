"""Images mixed, labels not: On Mixup Training's control (arXiv:1905.11001)."""

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError


@pytest.mark.parametrize("name", ["mixup", "manifold_mixup", "cutmix", "hmix", "gmix"])
def test_the_labels_stay_and_the_images_are_those_of_the_method(batch, name):
    x, y = batch
    plain = build("method", compose(f"method={name}", "method.prob=1").method)
    control = build("method", compose(f"method={name}", "method.prob=1", "method.inputs_only=true").method)
    mix, own = (m.plan(x, y, None, np.random.default_rng(3)) for m in (plain, control))
    assert torch.equal(mix.apply(x), own.apply(x))
    assert mix.depth == own.depth
    assert torch.equal(own.target(y, 10), torch.nn.functional.one_hot(y, 10).float())
    assert not torch.equal(mix.target(y, 10), own.target(y, 10))


def test_a_flag_is_a_flag():
    with pytest.raises(UserError, match=r"method\.inputs_only=2"):
        build("method", compose("method=mixup", "method.inputs_only=2").method)
