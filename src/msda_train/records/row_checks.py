"""What a sound row looks like: keys, types, ranges and checksum. A row may come from anywhere."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from msda_train.core.errors import UserError
from msda_train.records.summary import CLASSIFICATION, TASKS, protocols, summarise

SCHEMA = 1
NAMES = ("dataset", "model", "method", "recipe", "experiment")

_KEYS: dict[str, type | tuple[type, ...]] = {
    "names": dict,
    "seed": int,
    "config": dict,
    "metrics": dict,
    "history": list,
    "seconds": (int, float),
    "images_per_second": (int, float),
    "data": dict,
    "environment": dict,
}
_DATA_KEYS: dict[str, type] = {"content": str, "complete": bool}
_COUNTS = {
    CLASSIFICATION: ("train_images", "test_images", "classes"),
    "gan": ("modes", "judged"),
}  # at least 1


def checksum(raw: Mapping[str, Any]) -> str:
    """32 hex digits of all that the row says, whatever the order and the white space of its file."""
    said = {key: value for key, value in raw.items() if key != "checksum"}
    try:
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number of more than 64 bits
        text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest()[:32]


def parse(text: bytes) -> dict[str, Any]:
    """The row in a file's `text`. UserError where it is none, was changed since it was written, or says what
    cannot be; ValueError, RecursionError where it is not JSON."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError:  # says less about what is wrong, and knows no NaN
        raw = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    if not isinstance(raw, dict) or "schema" not in raw:
        raise UserError("not a row of msda-train (no 'schema')")
    if str(raw["schema"]).startswith("foreign-"):
        raise UserError("a foreign row, never mixed with ours; type: msda-table import --list")
    if raw["schema"] != SCHEMA:
        raise UserError(f"schema {raw['schema']!r} is unknown here, {SCHEMA} is expected; update msda-train")
    if "checksum" in raw and raw["checksum"] != checksum(raw):
        raise UserError("was changed after it was written: its checksum does not fit; copy it anew")
    _check_types(raw, _KEYS, "")
    task = raw.get("task", CLASSIFICATION)
    if not isinstance(task, str) or task not in TASKS:
        raise UserError(f"'task' is {str(task)[:60]!r}; update msda-train")
    _check_types(raw["data"], _DATA_KEYS | dict.fromkeys(_COUNTS[task], int), "data.")
    for name in NAMES:
        if not isinstance(raw["names"].get(name), str | None):
            raise UserError(f"'names.{name}' is not a word")
    if not isinstance(raw.get("teacher"), str | None):
        raise UserError("'teacher' is not a word")
    _check_ranges(raw, task)
    _check_history(raw, task)
    stopped = raw.get("stopped_after", len(raw["history"]))
    if type(stopped) is not int or stopped != len(raw["history"]):
        raise UserError(
            f"'stopped_after' is {str(stopped)[:60]}; its history has {len(raw['history'])} epochs"
        )
    return raw


def probed(raw: Mapping[str, Any]) -> dict[str, float]:
    """`calibration/ece_15` and so on: what the probes found."""
    probes = raw.get("probes", {})
    if not isinstance(probes, dict) or not all(
        isinstance(answers, dict) and isinstance(answers.get("numbers"), dict) for answers in probes.values()
    ):
        raise UserError("'probes' is not a dict of dicts with 'numbers'")
    found = {name: answers["numbers"] for name, answers in probes.items()}
    return {
        f"{name}/{key}": finite(value, f"{name}/{key}")
        for name, numbers in found.items()
        for key, value in numbers.items()
    }


def finite(value: Any, name: str) -> float:
    """`value` as a float; UserError where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"'{name}' is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"'{name}' is {number}")
    return number


def _check_types(raw: Mapping[str, Any], keys: Mapping[str, Any], prefix: str) -> None:
    for key, kind in keys.items():
        if key not in raw:
            raise UserError(f"'{prefix}{key}' is missing")
        if not isinstance(raw[key], kind) or (isinstance(raw[key], bool) and kind is not bool):
            raise UserError(f"'{prefix}{key}' is a {type(raw[key]).__name__}")


def _check_ranges(raw: Mapping[str, Any], task: str) -> None:
    for key in _COUNTS[task]:
        if raw["data"][key] < 1:
            raise UserError(f"'data.{key}' is {raw['data'][key]}")
    if raw["seed"] < 0:
        raise UserError(f"'seed' is {raw['seed']}")
    for key in ("seconds", "images_per_second"):
        if finite(raw[key], key) < 0:
            raise UserError(f"'{key}' is {raw[key]}")
    for protocol in protocols(task):
        if protocol not in raw["metrics"]:
            raise UserError(f"metric '{protocol}' is missing")
    for name, value in raw["metrics"].items():
        _check_metric(name, value)


def _check_metric(name: str, value: Any) -> None:
    number = finite(value, name)
    if number < 0 or (number > 1 and not name.startswith("nll")):
        raise UserError(
            f"metric '{name}' is {number:g}: errors are fractions, as are shares; nll is at least 0"
        )


def _check_history(raw: Mapping[str, Any], task: str) -> None:
    """The aggregates are those of the epochs, which are numbered from 1; a row without epochs (written by
    hand, for a test) has nothing to compare."""
    history, metrics = raw["history"], TASKS[task]
    for number, epoch in enumerate(history, 1):
        if not isinstance(epoch, dict) or not all(metric in epoch for metric in metrics):
            raise UserError(f"epoch {number} of 'history' has no {', '.join(metrics)}")
        for metric in metrics:
            value = epoch[metric]
            if type(value) is not float or not 0.0 <= value <= 1.0:  # most are, and rows are many
                _check_metric(metric, value)
        if epoch.get("epoch", number) != number:
            raise UserError(f"epoch {number} of 'history' says it is epoch {epoch['epoch']}")
    if history and any(raw["metrics"][name] != value for name, value in summarise(history, task).items()):
        raise UserError("'metrics' are not those of its 'history'")


def _refuse_constant(word: str) -> None:
    raise UserError(f"holds {word}, so the run did not end well")
