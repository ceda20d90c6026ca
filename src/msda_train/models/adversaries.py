"""The two networks of a GAN on points of a plane: hongyi-zhang/mixup, gan/example_gan.py."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError

POINT = 2  # coordinates
MOST_LAYERS = 100


class Adversaries(nn.Module):
    """generator: noise (N, latent) to points (N, 2); discriminator: points to the logit (N, 1) of being real.
    Each has `layers` hidden ReLU layers of `width`, and torch's own first weights, as in the code."""

    def __init__(self, latent: int, width: int, layers: int) -> None:
        for option, value in (("latent", latent), ("width", width), ("layers", layers)):
            checks.whole(f"model.{option}", value, least=1)
        if layers > MOST_LAYERS:
            raise UserError(f"model.layers={layers}: at most {MOST_LAYERS}; the paper has 3")
        super().__init__()
        self.latent = latent
        hidden = [width] * layers
        self.generator = _perceptron([latent, *hidden, POINT])
        self.discriminator = _perceptron([POINT, *hidden, 1])

    def forward(self, noise: Tensor) -> Tensor:
        """Points (N, 2) of noise (N, latent)."""
        points: Tensor = self.generator(noise)
        return points


def _perceptron(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
