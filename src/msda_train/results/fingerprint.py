"""Which runs are the same experiment: a hash of everything in the config that changes the mathematics.

Two rules keep stored rows valid while the suite grows:

- A name in this package counts by its last component, so moving a module orphans nothing. A foreign
  `_target_` counts whole: two people's `Mixup` are not the same.
- Absent means off: a key whose value is null, false, zero or empty is left out. A new option therefore has to
  be off when it is falsy; then rows written before it existed keep their fingerprint. (Inside a list every
  item counts.)
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from msda_train.errors import UserError

NODES = ("dataset", "model", "method", "recipe")

# Where data come from is answered by their content hash; facts about a set act only through recipe.* and
# method.length, where they are counted.
UNCOUNTED = {
    "dataset": frozenset(
        {"source", "root", "cache", "mean", "std", "crop_padding", "flip", "cutout_length"},
    ),
    "model": frozenset({"checkpointing", "pad_channels"}),  # save memory and time, change no number
}


def fingerprint(config: Mapping[str, Any]) -> str:
    """16 hex digits; equal for two runs that differ in nothing but the seed and the machine."""
    return _digest(config, NODES)


def column_fingerprint(config: Mapping[str, Any]) -> str:
    """The same without the method: what the lines of one comparison share."""
    return _digest(config, [node for node in NODES if node != "method"])


def canonical(value: Any) -> Any:
    """`value` as plain JSON in which equal settings look equal: 1 and 1.0, tuple and list, any key order."""
    if isinstance(value, Mapping):
        items = {
            str(key): _target(item) if key == "_target_" else canonical(item) for key, item in value.items()
        }
        return {key: item for key, item in items.items() if item}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"a config value is {value}; only finite numbers can be compared")
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int):
        return value
    raise UserError(f"a config value is of type {type(value).__name__}; plain words, numbers and lists only")


def _target(name: Any) -> Any:
    return name.rpartition(".")[2] if isinstance(name, str) and name.startswith("msda_train.") else name


def _digest(config: Mapping[str, Any], nodes: Sequence[str]) -> str:
    counted = {}
    for node in nodes:
        if not isinstance(config.get(node), Mapping):
            raise UserError(f"the config has no node '{node}'")
        skipped = UNCOUNTED.get(node, frozenset())
        counted[node] = canonical({key: item for key, item in config[node].items() if key not in skipped})
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
