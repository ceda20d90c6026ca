"""The learning rate as a function of progress: no scheduler state to save."""

import math
from collections.abc import Sequence


def step(epoch: int, epochs: int, drops: Sequence[float], factor: float) -> float:
    """Multiplier in 0-based `epoch`: `factor` once for every drop reached. Drops are shares of `epochs`, so a
    shorter run of a recipe drops in the same places; each is rounded to a whole epoch."""
    return factor ** sum(epoch >= round(drop * epochs) for drop in drops)


def cosine(progress: float) -> float:
    """Multiplier from 1 at progress 0 to 0 at progress 1."""
    return (1 + math.cos(math.pi * progress)) / 2


def warmup(epoch: float, warmup_epochs: float, start: float = 0.0) -> float:
    """Linear multiplier from `start` that reaches 1 after `warmup_epochs`."""
    return start + (1 - start) * min(1.0, epoch / warmup_epochs) if warmup_epochs > 0 else 1.0
