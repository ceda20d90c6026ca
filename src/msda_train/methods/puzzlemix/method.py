"""Puzzle Mix cuts both images along saliency and moves their salient cells to where the mask shows them.

Kim, Choo & Song, ICML 2020, arXiv:2009.06962. Code: snu-mllab/PuzzleMix main.py and mixup.py, which we
follow: one lam and one grid per batch; each sample's mask minimises `puzzlemix.energy` on that grid, then
`puzzlemix.transport` moves cells; the label weight is the mask's mean. Saliency is the input gradient, at
noisy images where a coin wants adversarial noise in either partner. With clean_lam > 0 the saliency pass
trains, too (`methods._input_gradient`). The authors mean to end that at the first drop of the learning rate,
but their line compares where it should assign: it stays on all along, there as here. Their alpha-beta swaps
are replaced by solvers that come closer to the minimum. Square images only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.functional.pixel_values import per_channel
from msda_train.methods._input_gradient import channel_norm, input_gradient, noisy_pair
from msda_train.methods._pairwise import Pairwise
from msda_train.methods.puzzlemix.batched import solve_batched
from msda_train.methods.puzzlemix.energy import grid_share, puzzle_terms
from msda_train.methods.puzzlemix.exact import solve_exact
from msda_train.methods.puzzlemix.options import PuzzleOptions
from msda_train.methods.puzzlemix.transport import enlarge, transport


@dataclass(frozen=True)
class PuzzleMix(PuzzleOptions, Pairwise):
    """x~ = M T(x) + (1 - M) T'(x[perm]); M minimises the energy, T and T' move cells to what it shows."""

    def __post_init__(self) -> None:
        Pairwise.__post_init__(self)
        self.check_options()

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.plan`. Raises UserError where the images are not square or no grid fits them."""
        self.check_images(x)
        return super().plan(x, y, model, rng)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""

        def gradient_at(seen: Tensor) -> Tensor:
            return input_gradient(seen, y, model, clean_lam=self.clean_lam, clean_scale=self.clean_scale)

        return self.cut(x, lam, perm, gradient_at, rng)

    def cut(
        self, x: Tensor, lam: np.ndarray, perm: Tensor, gradient_at: Callable[[Tensor], Tensor], rng: Rng
    ) -> Mix:
        """The plan for x (B, C, H, W); gradient_at: of the loss with respect to such images, as they are."""
        n = self.blocks[int(rng.integers(len(self.blocks)))]
        mean, std = per_channel(self.mean, x), per_channel(self.std, x)
        attacked = rng.random(2) < self.adv_p
        gradient, own, other = noisy_pair(x, gradient_at, attacked, self.adv_eps / 255, mean, std, rng)
        share = grid_share(channel_norm(gradient), self.grid(x.shape[-1], n))
        terms = puzzle_terms(grid_share(share, n), x, std, perm, lam, self)
        labels = (solve_exact if self.solver == "exact" else solve_batched)(terms)
        kept = 1 - labels.float() / (self.levels - 1)
        own, other, kept = transport(own, other, perm, kept, share, self)
        mask = enlarge(kept, x.shape[-1] // kept.shape[-1])[:, None]
        return Mix(perm, kept.mean(dim=(1, 2)), mask, sources=(own, other))
