"""The other libraries are called as they mean it: the labels they give are those of the pixels they mix."""

import numpy as np
import pytest
import torch

from bench.peers import NAMES, label_mass_error, peer, versions
from bench.settings import Settings
from bench.workload import method_of, mixing, our_mixing

K = 5


def class_images(n=16, side=32):
    """Images that are 1 in the channel of their class: shares of pixels are shares of classes."""
    y = torch.arange(n) * 7 % K
    x = torch.zeros(n, K, side, side)
    x[torch.arange(n), y] = 1.0
    return x, y


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("name", NAMES)
def test_label_mass(name, kind):
    other = peer(name, kind, K)
    if other is None:
        pytest.skip(f"{name} is not installed")
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (timm draws from it)
    partly = 0
    for _ in range(20):
        x, y = class_images()
        mixed, target = other.mix(x.clone(), y)
        weights = other.dense(target)
        assert weights.shape == (16, K)
        assert label_mass_error(mixed, weights) < 1e-5
        partly += int(((weights > 0.01) & (weights < 0.99)).any())
    assert partly > 10  # it does mix


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "hmix", "gmix"])
def test_our_own_label_mass(kind):
    x, y = class_images()
    work = our_mixing(method_of(Settings(), mixing(kind)), x, y, K)
    for _ in range(20):
        assert label_mass_error(*work()) < 1e-5


def test_a_wrong_mixer_is_found():
    x, y = class_images()
    weights = torch.nn.functional.one_hot(y, K).float()
    assert label_mass_error(0.5 * x + 0.5 * x.roll(1, 0), weights) == pytest.approx(0.5)


def test_versions():
    assert set(versions()) == set(NAMES)
    assert versions()["torchvision"] != "-"
