"""Which runs are the same experiment: a hash of every option that changes the mathematics, at its value.

- Options that a config does not state have the default of the class that its `_target_` names (`defaults`).
  For a class of another package nobody here may look that up: the trainer writes all options into the row.
- A name in this package counts by its last component, so moving a module orphans nothing. A foreign
  `_target_` counts whole: two people's `Mixup` are not the same.
- Left out is what is off (null, false, zero, empty) and could not be on without a word: the class has the
  same value for a default, or no default at all. So a new option that is off by default renames no run; one
  that is on by default stands in LATER.
  (Inside a list every item counts.)
"""

import hashlib
import json
import marshal
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from msda_train.config.defaults import PACKAGE, defaults
from msda_train.core.errors import UserError

NODES = ("dataset", "model", "method", "recipe")

# Where data come from is answered by their content hash; facts about a set act only through recipe.* and
# method.length, where they are counted.
UNCOUNTED = {
    "dataset": frozenset(
        {"source", "root", "cache", "mean", "std", "crop_padding", "flip", "cutout_length", "unreadable"},
    ),
    "model": frozenset({"checkpointing", "pad_channels"}),  # save memory and time, change no number
}

# Options that came later than stored rows: at these values they are what all runs had before. By node or, for
# one class alone, by its name.
LATER: dict[str, dict[str, Any]] = {
    "model": {"groups": 1, "last_stride": 2},
    "recipe": {
        "optimizer": "sgd",
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "crop_ratio": [0.75, 1.3333333333333333],
        "padding": "zeros",
        "decoupled_side": "both",
        "last_layer_factor": 1,
    },
    "CutMix": {"depths": [0], "prob_schedule": "constant"},
}


def fingerprint(config: Mapping[str, Any]) -> str:
    """16 hex digits; equal for two runs that differ in nothing but the seed and the machine."""
    return fingerprints(config)[0]


def column_fingerprint(config: Mapping[str, Any]) -> str:
    """The same without the method: what the lines of one comparison share."""
    return fingerprints(config)[1]


def fingerprints(config: Mapping[str, Any]) -> tuple[str, str]:
    """Both. Of thousands of rows most share their nodes, so nothing is worked out twice."""
    for node in NODES:
        if not isinstance(config.get(node), Mapping):
            raise UserError(f"the config has no node '{node}'")
    try:
        return _known(*(marshal.dumps(config[node], 2) for node in NODES))
    except ValueError:  # no plain words, numbers and lists: `canonical` says what is wrong
        return _marks([config[node] for node in NODES])


@cache
def _known(*texts: bytes) -> tuple[str, str]:
    return _marks([marshal.loads(text) for text in texts])


def _marks(values: Sequence[Any]) -> tuple[str, str]:
    counted = dict(zip(NODES, map(_counted, NODES, values), strict=True))
    column = {node: options for node, options in counted.items() if node != "method"}
    return _hash(counted), _hash(column)


def _counted(node: str, value: Any) -> dict[str, Any]:
    skipped, found = UNCOUNTED.get(node, frozenset()), settled(value)
    options = {key: item for key, item in found.items() if key not in skipped}
    later = LATER.get(node, {}) | LATER.get(str(found.get("_target_")), {})
    return {key: item for key, item in options.items() if key not in later or item != later[key]}


def former_fingerprint(config: Mapping[str, Any]) -> str:
    """What run folders were called until November 2026, when all that was off was left out."""
    counted = {}
    for node in NODES:
        skipped = UNCOUNTED.get(node, frozenset())
        options = {key: item for key, item in config[node].items() if key not in skipped}
        counted[node] = _without_off(canonical(options))
    return _hash(counted)


def canonical(value: Any) -> Any:
    """`value` as plain JSON in which equal settings look equal: 1 and 1.0, tuple and list, any key order."""
    if isinstance(value, Mapping):
        return {
            str(key): _target(item) if key == "_target_" else canonical(item) for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"a config value is {value}; only finite numbers can be compared")
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int):
        return value
    raise UserError(f"a config value is of type {type(value).__name__}; plain words, numbers and lists only")


def settled(value: Any) -> Any:
    """`value`, a node of a config, as it is counted: canonical, options at their values, less what is off."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [settled(item) for item in value]
    if not isinstance(value, Mapping):
        return canonical(value)
    target = str(value.get("_target_", ""))
    known = {key: canonical(item) for key, item in defaults(target).items()}
    options = known | {str(key): settled(item) for key, item in value.items() if key != "_target_"}
    if target.startswith(PACKAGE):
        off = {key for key, item in options.items() if not item and _same(item, known.get(key, item))}
        options = {key: item for key, item in options.items() if key not in off}
    return options | ({"_target_": _target(value["_target_"])} if "_target_" in value else {})


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and type(one) is type(other)


def _without_off(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: kept for key, item in value.items() if (kept := _without_off(item))}
    return [_without_off(item) for item in value] if isinstance(value, list) else value


def _target(name: Any) -> Any:
    return name.rpartition(".")[2] if isinstance(name, str) and name.startswith(PACKAGE) else name


def _hash(counted: Mapping[str, Any]) -> str:
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
