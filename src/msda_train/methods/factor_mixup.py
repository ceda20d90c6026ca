"""Factor mixup blends what pictures were drawn from, and draws the blend: an idealised Manifold Mixup.

Verma et al., ICML 2019, arXiv:1806.05236, Appendix A and Table 8. Code: vikasverma1077/manifold_mixup
supervised/synth_data_exp.py (`mixup_hidden`): one lam for each image; blended factors are truncated to whole
numbers before they are drawn, labels are not (`truncate`). There both partners are new images; here they are
a batch and its permutation, so that each image is in two blends and, once in B, its own partner.

It needs pictures that come with their factors, dataset=slanted_digits, and draws on the host.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.core.origin import Drawn, Origin
from msda_train.core.randomness import Rng, draw_lam, pair
from msda_train.methods._pairwise import FROM_BATCH, beside, to_device


@dataclass(frozen=True)
class FactorMixup:
    """x~ = drawn from lam f + (1 - lam) f[perm], y~ = lam y + (1 - lam) y[perm]."""

    alpha: float = 1.0
    prob: float = 1.0
    lam_per: str = "sample"
    pairing: str = "permutation"
    truncate: bool = True

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        checks.fraction("method.prob", self.prob)
        checks.one_of("method.lam_per", self.lam_per, ("batch", "sample"))
        checks.one_of("method.pairing", self.pairing, FROM_BATCH)
        checks.flag("method.truncate", self.truncate)

    def at(self, origin: Origin) -> "_OfDrawn":
        """The same for the batch that comes from there. UserError where nothing says its factors."""
        if origin.drawn is None:
            raise UserError(
                "method=factor_mixup: needs pictures that are drawn from factors; type "
                "dataset=slanted_digits, or method=mixup"
            )
        return _OfDrawn(self, origin.drawn)

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """UserError: a batch alone does not say its factors."""
        raise UserError("method=factor_mixup: nobody said what these were drawn from; type method=mixup")


@dataclass(frozen=True, eq=False)
class _OfDrawn:
    method: FactorMixup
    drawn: Drawn

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`. All is drawn on the host, which waits for no device."""
        mix = Mix.identity(x)
        if rng.random() >= self.method.prob:
            return mix
        lam = draw_lam(rng, self.method.alpha, len(x) if self.method.lam_per == "sample" else 1)
        perm, own = pair(rng, self.method.pairing, len(x)), self.drawn.factors
        blend = lam[:, None] * own + (1 - lam[:, None]) * own[perm]
        made = self.drawn.draw(np.trunc(blend) if self.method.truncate else blend)
        return Mix(beside(torch.from_numpy(perm), x), to_device(lam, x), mix.mask, sources=(made, made))
