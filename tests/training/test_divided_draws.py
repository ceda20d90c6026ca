"""Branches that are dropped or shaken, divided among processes: each keeps the draws of the whole batch."""

import pytest
import torch
from torchvision.ops import StochasticDepth

from msda_train.models.batchnorm import changed
from msda_train.models.shake_shake import Coefficients
from msda_train.models.vision_transformer import DropPath
from msda_train.training.divided_layers import DRAWS, _Drawn


class Team:
    """The second process of a batch of 6."""

    joined, batch = True, 6

    def rows(self, count):
        return slice(2, 5)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (DropPath(0.5), (4, 2)),
        (StochasticDepth(0.5, "row"), (2, 2, 5)),
        (Coefficients(forward_shake=True, backward_shake=True, per="image"), (1,)),
    ],
)
def test_own_rows_have_the_draws_of_the_whole_batch(module, shape):
    own = torch.randn(3, *shape)
    whole = torch.zeros(6, *shape)
    whole[2:5] = own
    torch.manual_seed(1)
    expected = module(whole)[2:5]
    assert isinstance(module, DRAWS)
    changed(module, _Drawn, team=Team())
    torch.manual_seed(1)
    torch.testing.assert_close(module(own), expected)
