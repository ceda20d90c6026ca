"""mixup for GANs: the discriminator learns from blends of real and generated points.

Zhang, Cisse, Dauphin & Lopez-Paz, ICLR 2018, arXiv:1710.09412, section 3.6. Code: hongyi-zhang/mixup,
gan/example_gan.py. They differ, and both are here:

- the paper: max_g min_d E l(d(lam x + (1 - lam) g(z)), lam); only real with generated points, lam ~
  Beta(alpha, alpha), and the generator, too, is judged by the blends;
- the code: two batches, each of real and generated points in random order, are blended, so real with real as
  well; lam ~ U(0, alpha) for each point; the generator is judged by unmixed points.

Manifold Mixup (arXiv:1806.05236) notes the difference in a footnote and adds a term to the usual loss:
`beside`. The default is the code's, which drew the figure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.randomness import Rng, draw_lam

Draw = Callable[[], tuple[Tensor, Tensor]]  # new real and generated points, (B, 2) each


class Term(NamedTuple):
    """One expectation of a GAN's loss: points (N, 2) with targets (N, 1) in [0, 1], 1 for real. In the sum
    over terms its mean counts `weight` times."""

    points: Tensor
    target: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class GanErm:
    """E l(d(x), 1) + E l(d(g(z)), 0), for both players."""

    mixes_for_generator = False

    def terms(self, draw: Draw, rng: Rng) -> list[Term]:
        """What the discriminator is asked in one step."""
        return [Term(*_labelled(*draw()), weight=2.0)]  # a mean over both halves: the sum is twice that


@dataclass(frozen=True)
class GanMixup:
    """The fields are the options `method.*`; configs/method/gan/mixup.yaml says what they mean."""

    alpha: float
    lam: str = "uniform"
    pairs: str = "any"
    generator: str = "unmixed"
    beside: bool = False

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        checks.one_of("method.lam", self.lam, ("uniform", "beta"))
        if self.lam == "uniform":
            checks.fraction("method.alpha", self.alpha)
        checks.one_of("method.pairs", self.pairs, ("any", "real_generated"))
        checks.one_of("method.generator", self.generator, ("unmixed", "mixed"))
        checks.flag("method.beside", self.beside)

    @property
    def mixes_for_generator(self) -> bool:
        """Whether the generator is judged by the same terms, else by its unmixed points."""
        return self.generator == "mixed"

    def terms(self, draw: Draw, rng: Rng) -> list[Term]:
        """What the discriminator is asked in one step."""
        usual = GanErm().terms(draw, rng) if self.beside else []
        if self.pairs == "real_generated":
            real, generated = draw()
            lam = self._weights(rng, real)
            return [*usual, Term(torch.lerp(generated, real, lam), lam)]
        (one, is_real), (other, other_is_real) = _labelled(*draw()), _labelled(*draw())
        order = torch.from_numpy(rng.permutation(len(other))).to(other.device)
        lam = self._weights(rng, one)
        mixed = torch.lerp(other[order], one, lam), torch.lerp(other_is_real[order], is_real, lam)
        return [*usual, Term(*mixed)]

    def _weights(self, rng: Rng, points: Tensor) -> Tensor:
        """(N, 1), one for each of `points`."""
        n = len(points)
        lam = rng.uniform(0, self.alpha, n) if self.lam == "uniform" else draw_lam(rng, self.alpha, n)
        return torch.from_numpy(lam.astype(np.float32))[:, None].to(points.device)


def _labelled(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both (2B, 2), and 1 for each real and 0 for each generated one, (2B, 1)."""
    target = torch.cat([torch.ones_like(real[:, :1]), torch.zeros_like(generated[:, :1])])
    return torch.cat([real, generated]), target
