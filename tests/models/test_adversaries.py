"""The two networks of the toy GAN."""

import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.models.adversaries import Adversaries


def test_weights_are_as_many_as_the_code_has():
    made = build("model", compose("task=gan").model)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in made.named_children()}
    assert count == {"generator": 527_874, "discriminator": 527_361}


@pytest.mark.parametrize("latent", [2, 5, 10])
def test_layers(latent):
    made = Adversaries(latent=latent, width=7, layers=3)
    kinds = [type(layer) for layer in made.generator]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    points = made(torch.randn(4, latent))
    assert points.shape == (4, 2)
    assert made.discriminator(points).shape == (4, 1)


def test_bad_options():
    with pytest.raises(UserError, match=r"model\.latent=0"):
        Adversaries(latent=0, width=512, layers=3)
    with pytest.raises(UserError, match=r"model\.layers=1000: at most 100"):
        Adversaries(latent=2, width=512, layers=1000)
