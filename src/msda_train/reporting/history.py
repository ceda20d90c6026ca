"""The epochs of a run, read from its row with the suspicion that a file from elsewhere deserves."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

LARGEST_FILE = 20_000_000  # bytes; 10,000 epochs are 2 MB
MOST_EPOCHS = 400  # kept of a run: no plot shows more, and a thousand rows fit into memory

Item = TypeVar("Item")


@dataclass(frozen=True)
class Epoch:
    """What was measured after one epoch; None where the file holds no finite number."""

    epoch: float
    lr: float | None
    train_loss: float | None
    error: float | None  # fraction
    top5_error: float | None
    nll: float | None  # nats


@dataclass(frozen=True)
class History:
    """Some epochs, evenly spread, of all `total`."""

    epochs: tuple[Epoch, ...] = ()
    total: int = 0


def read_history(path: Path) -> History:
    """The epochs in a row file; none where there are none or where they cannot be read. A report must not
    fail because of one odd file: its row has been checked and complained of before."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return History()
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return History()
    items = raw.get("history") if isinstance(raw, dict) else None
    sound = [item for item in items if _is_sound(item)] if isinstance(items, list) else []
    return History(tuple(map(_epoch, thinned(sound, MOST_EPOCHS))), len(sound))


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of them, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[len(items) - most :])
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _is_sound(item: Any) -> bool:
    return isinstance(item, dict) and _number(item, "epoch") is not None


def _epoch(item: Mapping[str, Any]) -> Epoch:
    names = ("lr", "train_loss", "error", "top5_error", "nll")
    return Epoch(_number(item, "epoch") or 0.0, **{name: _number(item, name) for name in names})


def _number(item: Mapping[str, Any], name: str) -> float | None:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    # What is larger than this is no measurement, and a plot of it would overflow.
    return number if math.isfinite(number) and abs(number) < 1e12 else None
