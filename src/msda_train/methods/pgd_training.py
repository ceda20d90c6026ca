"""PGD training shows the network adversarial images in place of the clean ones, with the clean labels.

Madry, Makelov, Schmidt, Tsipras & Vladu, ICLR 2018, arXiv:1706.06083, equation (2.1). No mixing: a treatment
that the adversarial tables of the mixing papers quote. 7 steps; eps 8/255 and steps of 2/255 are unverified.
The attack starts at a random point of the ball, works on pixels in [0, 1] and looks at the network in
evaluation mode, so that batch normalisation's running statistics see each batch once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, not_pictures, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.attacks import Ball, pgd
from msda_train.functional.pixel_values import per_channel


@dataclass(frozen=True)
class PgdTraining:
    """x~ = argmax over |x' - x| <= eps of the loss, by `steps` projected gradient steps; y~ = y."""

    eps_255: float = 8.0
    steps: int = 7
    step_size_255: float = 2.0
    prob: float = 1.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        checks.positive("method.eps_255", self.eps_255)
        if self.eps_255 > 255:
            raise UserError(f"method.eps_255={self.eps_255}: pixels have 255 steps; type method.eps_255=8")
        checks.whole("method.steps", self.steps, least=1)
        checks.positive("method.step_size_255", self.step_size_255)
        checks.fraction("method.prob", self.prob)

    def plan(self, x: Tensor, y: Tensor, model: nn.Module, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        picture_size(x)  # eps is of pixels
        if not self.mean:  # a spectrogram
            raise not_pictures()
        if rng.random() >= self.prob:
            return Mix.identity(x)
        mean, std = per_channel(self.mean, x), per_channel(self.std, x)
        pixels = (x * std + mean).clamp(0, 1)
        ball, step = Ball(self.eps_255 / 255), self.step_size_255 / 255
        model.eval()
        moved = pgd(
            lambda p: model((p - mean) / std).float(),
            pixels,
            y,
            ball,
            steps=self.steps,
            step_size=step,
            rng=rng,
            checked=False,  # a training step waits for nothing
        )
        model.train()
        own = Mix.identity(x)
        zero = torch.zeros((), device=x.device)
        return Mix(own.perm, own.lam, own.mask, sources=((moved - mean) / std, zero))
