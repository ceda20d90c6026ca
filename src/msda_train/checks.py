"""Checks of single option values. Each raises a UserError that names the option as it is typed."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from msda_train.errors import UserError, nearest


def number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:
        raise UserError(f"{option}={value}: must be a number")
    return float(value)


def positive(option: str, value: Any) -> None:
    if not 0 < number(option, value) < float("inf"):
        raise UserError(f"{option}={value}: must be greater than 0 and finite; type {option}=1.0")


def non_negative(option: str, value: Any) -> None:
    if not 0 <= number(option, value) < float("inf"):
        raise UserError(f"{option}={value}: must not be negative")


def fraction(option: str, value: Any) -> None:
    """A probability, a share or a weight: in [0, 1]."""
    if not 0 <= number(option, value) <= 1:
        raise UserError(f"{option}={value}: must lie in [0, 1]; type {option}=0.5")


def whole(option: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{option}={value}: must be a whole number, at least {least}")


def flag(option: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"{option}={value}: must be true or false")


def one_of(option: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"{option}={value}: unknown; {nearest(str(value), known)}")
