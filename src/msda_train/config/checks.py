"""Checks of single option values. Each raises a UserError that names the option as it is typed."""

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from msda_train.core.errors import UserError, nearest

LARGEST = 10**18  # whole numbers end here: beyond, arrays and generators overflow
FLOATS = 1e300  # the others here; nan is not below it either

_FOREIGN = re.compile(
    r"(regulariser|experiment|method|probes)=\w+|(dataset|model|method|recipe)(\.[a-z]\w*)+=[\w.+\-,\[\] ]*"
)


def number(option: str, value: Any) -> float:
    """`value` as a float; no number are text, true, false and nan."""
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:
        raise UserError(f"{option}={value}: must be a number")
    return float(value)


def positive(option: str, value: Any) -> None:
    """In (0, inf)."""
    if not 0 < number(option, value) < float("inf"):
        raise UserError(f"{option}={value}: must be greater than 0 and finite; type {option}=1.0")


def non_negative(option: str, value: Any) -> None:
    """In [0, inf)."""
    if not 0 <= number(option, value) < float("inf"):
        raise UserError(f"{option}={value}: must not be negative")


def fraction(option: str, value: Any) -> None:
    """A probability, a share or a weight: in [0, 1]."""
    if not 0 <= number(option, value) <= 1:
        raise UserError(f"{option}={value}: must lie in [0, 1]; type {option}=0.5")


def whole(option: str, value: Any, least: int) -> None:
    """A whole number, `least` or more; 2.0 is none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(f"{option}={value}: must be a whole number, at least {least}")


def flag(option: str, value: Any) -> None:
    """true or false, and no 0 or 1."""
    if not isinstance(value, bool):
        raise UserError(f"{option}={value}: must be true or false")


def one_of(option: str, value: Any, known: Sequence[str]) -> None:
    """One of `known`; the message names the nearest."""
    if value not in known:
        raise UserError(f"{option}={value}: unknown; {nearest(str(value), known)}")


def kind(option: str, value: Any, wanted: Any) -> None:
    """UserError where `value` is not of the declared kind `wanted`: whole number, number, text, true or
    false, list of such, null where that is allowed. Any other kind is for its class to check."""
    if not _is(value, wanted):
        raise UserError(f"{option}={shown(value)}: must be {_said(wanted)}")


def shown(value: Any) -> str:
    """As it is typed, if it is short enough to be read."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is(value: Any, wanted: Any) -> bool:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return any(_is(value, each) for each in inner)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(_is(item, inner[0]) for item in value)
    if wanted is float and isinstance(value, float):
        return abs(value) < FLOATS
    if wanted in (float, int):
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return isinstance(value, wanted) if wanted in (str, bool, NoneType) else True


def _said(wanted: Any) -> str:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return " or ".join(map(_said, inner))
    if origin in (list, tuple, Sequence):
        such = {float: "[0.5,0.25]", int: "[1,2]", str: "[a,b]"}.get(inner[0])
        return f"a list{f', such as {such}' if such else ''}; each item {_said(inner[0])}"
    words = {float: "a finite number", int: "a whole number of less than 19 digits", str: "text"}
    return {**words, bool: "true or false", NoneType: "null"}.get(wanted, "a node")


def foreign_words(where: str, words: Sequence[str], names: Mapping[str, Any]) -> None:
    """UserError where what somebody's file wants typed behind msda-train, `words` and `names` of files, is
    more than options of a run and plain values: a class, a place to write to, an environment variable."""
    chosen = [f"{key}={names[key]}" for key in ("experiment", "method", "probes") if names.get(key)]
    for word in (*words, *chosen):
        if not _FOREIGN.fullmatch(word):
            raise UserError(f"{where}: {word!r} may name options of a run and their values, nothing else")
