import numpy as np
import torch

from msda_train.methods.erm import Erm
from msda_train.models.staged import Staged


def test_nothing_happens(batch):
    x, y = batch
    mix = Erm().plan(x, y, None, np.random.default_rng(0))
    assert torch.equal(Staged([torch.nn.Identity()])(x, mix), x)
    assert torch.equal(mix.target(y, 10), torch.nn.functional.one_hot(y, 10).float())
