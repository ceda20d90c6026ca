"""Options that are a range [low, high] from which a number is drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng

Span = Sequence[float]


def check_span(option: str, value: Any, most: float = float("inf")) -> None:
    """Raises UserError where `value` is not a list [low, high] with 0 < low <= high <= most."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise UserError(f"{option}={value}: must be a list of two numbers; type {option}=[0.25,0.5]")
    low, high = (checks.number(option, v) for v in value)
    if not 0 < low <= high <= most or high == float("inf"):
        limit = "finite" if most == float("inf") else f"at most {most:g}"
        raise UserError(f"{option}={list(value)}: must be [low,high] with 0 < low <= high, {limit}")


def draw_span(rng: Rng, span: Span, size: int) -> np.ndarray:
    """(size,) float64 uniform draws from [low, high)."""
    low, high = span
    return low + (high - low) * rng.random(size)
