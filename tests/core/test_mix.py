import pytest
import torch

from msda_train.core.mix import Mix


def _mix(x, lam, **fields):
    weight = torch.tensor(lam)
    return Mix(torch.arange(len(x)).flip(0), weight, weight.view(-1, 1, 1, 1), **fields)


def test_apply_weights_pixels(batch):
    x, _ = batch
    mixed = _mix(x, [0.25]).apply(x)
    torch.testing.assert_close(mixed, 0.25 * x + 0.75 * x.flip(0))


def test_whole_weights_are_bit_exact(batch):
    x, _ = batch
    mask = (torch.rand(8, 1, 32, 32) < 0.5).float()
    mixed = Mix(torch.arange(8).flip(0), torch.ones(1), mask).apply(x)
    assert torch.equal(mixed, torch.where(mask.bool(), x, x.flip(0)))


def test_bfloat16_features_keep_their_type_and_lam_its_precision():
    h = torch.stack([torch.full((1, 2, 2), 256.0), torch.zeros(1, 2, 2)]).bfloat16()
    mixed = _mix(h, [0.6504]).apply(h)  # bfloat16(0.6504) is 0.6484: 166 instead of 166.5
    assert mixed.dtype == torch.bfloat16
    assert mixed[0, 0, 0, 0] == torch.tensor(256 * 0.6504).bfloat16()


def test_sources_replace_the_batch(batch):
    x, _ = batch
    mixed = _mix(x, [0.5], sources=(x, torch.zeros(()))).apply(x)
    torch.testing.assert_close(mixed, x / 2)


def test_target_is_two_labels(batch):
    x, y = batch
    target = _mix(x, [0.7]).target(y, 10)
    assert target.shape == (8, 10)
    torch.testing.assert_close(target.sum(1), torch.ones(8))
    i = next(i for i in range(8) if y[i] != y[7 - i])
    assert target[i, y[i]] == pytest.approx(0.7)
    assert target[i, y[7 - i]] == pytest.approx(0.3)


def test_identity_is_nowhere_and_one_hot(batch):
    x, y = batch
    mix = Mix.identity(x)
    assert mix.depth == -1
    assert torch.equal(mix.target(y, 10), torch.nn.functional.one_hot(y, 10).float())
