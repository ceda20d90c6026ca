"""A subject that is ready in no time: three patterns in noise, and a small network that tells them apart."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.data.images import Images
from msda_train.evaluation.probes.subject import Subject

CONFIG = {
    "dataset": {"_target_": "msda_train.data.dataset.Dataset", "name": "toy", "subset": None},
    "model": {},
    "method": {"_target_": "msda_train.methods.erm.Erm"},
    "recipe": {"mean": [0.4], "std": [0.25]},
}


@pytest.fixture(scope="session")
def toy_images():
    """240 training and 150 test images, 8x8 grey, of three classes."""
    rng = np.random.default_rng(0)
    patterns = 16 * rng.standard_normal((3, 8, 8, 1))

    def split(n):
        y = np.arange(n) % 3
        return np.clip(100 + patterns[y] + 60 * rng.standard_normal((n, 8, 8, 1)), 0, 255).astype(np.uint8), y

    (x_train, y_train), (x_test, y_test) = split(240), split(150)
    return Images(x_train, y_train, x_test, y_test, ("a", "b", "c"), "toy", "c0ffee", False)


@pytest.fixture(scope="session")
def toy_network(toy_images):
    """Makes a trained network; the seed decides its weights, `dropout` whether it has such a layer."""

    def make(*, seed=0, dropout=None):
        torch.manual_seed(seed)
        layers = [nn.Flatten(), nn.Linear(64, 16), nn.Tanh()]
        layers += [nn.Dropout(dropout)] if dropout is not None else []
        network = nn.Sequential(*layers, nn.Linear(16, 3))
        x = (torch.from_numpy(toy_images.x_train).permute(0, 3, 1, 2) / 255 - 0.4) / 0.25
        y = torch.from_numpy(toy_images.y_train)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        optimizer.zero_grad()
        return network.eval()

    return make


@pytest.fixture
def toy_subject(toy_images, toy_network):
    """Makes the subject of such a network; other fields of Subject as they are given."""

    def make(network=None, **fields):
        made = Subject(
            network=toy_network() if network is None else network,
            images=toy_images,
            mean=[0.4],
            std=[0.25],
            device=torch.device("cpu"),
            autocast=nullcontext,
            seed=0,
            config=CONFIG,
        )
        return replace(made, **fields)

    return make
