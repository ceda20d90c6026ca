"""ERM: no mixing; the papers' "Baseline", "Vanilla", "No Mixup"."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng


@dataclass(frozen=True)
class Erm:
    """x~ = x: every sample is left alone (empirical risk minimisation)."""

    whole_numbers: ClassVar = True

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        return Mix.identity(x)
