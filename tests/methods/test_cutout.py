import numpy as np
import torch

from msda_train.methods.cutout import Cutout


def test_equals_the_slow_loop(batch, draws):
    x, y = batch
    mixed = Cutout(length=16).plan(x, y, None, draws(centre=(2, 30))).apply(x)
    for row in range(32):
        for column in range(32):
            hole = row < 10 and column >= 22
            assert torch.equal(mixed[:, :, row, column], torch.zeros(8, 3) if hole else x[:, :, row, column])


def test_the_label_stays(batch):
    x, y = batch
    mix = Cutout().plan(x, y, None, np.random.default_rng(0))
    assert torch.equal(mix.target(y, 10), torch.nn.functional.one_hot(y, 10).float())


def test_one_hole_per_sample_or_per_batch(batch):
    x, y = batch
    per_sample = Cutout().plan(x, y, None, np.random.default_rng(0)).mask
    per_batch = Cutout(box_per="batch").plan(x, y, None, np.random.default_rng(0)).mask
    assert len({tuple(m.flatten().tolist()) for m in per_sample}) > 4
    assert per_batch.shape[0] == 1
