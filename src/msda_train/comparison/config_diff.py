"""A config as the words that produce it: what differs from the shipped yaml files."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeGuard

from msda_train.config.fingerprint import NODES, UNCOUNTED, canonical, settled
from msda_train.config.yaml_file import read_yaml, without_lines
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.records.rows import Row, one_line
from msda_train.records.summary import CLASSIFICATION

_WORD = re.compile(r"[\w-]+(/[\w-]+)?")  # gan/ring: of a task with a folder of its own
_PLAIN = re.compile(r"[\w.+/-]+")
_REFERENCE = re.compile(r"\$\{(\w+)\.(\w+)\}")


def column_words(row: Row, experiment: str | None) -> str:
    """What to type, besides the method, to get the column `row` is in."""
    chosen, overlay = experiment_choices(experiment)
    words = [f"experiment={experiment}"] if experiment else []
    words += [] if row.task == CLASSIFICATION else [f"task={row.task}"]
    for node in NODES:
        if node != "method":
            name = row.names[node]
            words += [] if name == chosen.get(node) else [f"{node}={_typed(name)}"]
            words += differences(row, node, overlay.get(node, {}))
    return one_line(" ".join(words))


def method_words(row: Row) -> str:
    """The method and those of its parameters that are not the shipped ones: `mixup alpha=0.2`."""
    name = row.names["method"] or canonical(row.config["method"]).get("_target_", "unnamed")
    changes = [word.replace("method.", "", 1) for word in differences(row, "method", {})]
    return one_line(" ".join([name, *changes]))


def differences(row: Row, node: str, overlay: Mapping[str, Any]) -> list[str]:
    """The words by which `row` departs from the shipped file of its name with `overlay` on top."""
    skipped = UNCOUNTED.get(node, frozenset())
    files = {**_shipped(node, row.names[node]), **overlay}
    shipped = {key: _resolved(item, row.config) for key, item in files.items()}
    made = row.config[node]
    counted, expected = settled(made), settled({"_target_": made.get("_target_"), **shipped})
    words = []
    for key in [*shipped, *(key for key in made if key not in shipped)]:
        if key in skipped or counted.get(key) == expected.get(key):
            continue
        if _is_node(made.get(key)):
            words += _nested(node, key, made[key])
        elif key not in made:  # made by another version of the suite; ~ is how Hydra takes a key away
            words.append(f"~{node}.{key}")
        else:
            words.append(f"{'' if key in shipped else '+'}{node}.{key}={_typed(made[key])}")
    return words


def regulariser_words(row: Row) -> list[str]:
    """`regulariser=shakedrop` and what differs from its file; empty where the row's network has none."""
    made = row.config["model"].get("regulariser")
    return _nested("model", "regulariser", made) if _is_node(made) else []


def _is_node(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and "_target_" in value


def _nested(node: str, key: str, made: Mapping[str, Any]) -> list[str]:
    """`regulariser=shakedrop model.regulariser.rate=0.3`: a node in a node has a group of its own name."""
    for path in sorted((CONFIGS / key).glob("*.yaml")):
        shipped = _read(f"{key}/{path.name}")
        if canonical({"_target_": shipped.get("_target_")}) == canonical({"_target_": made["_target_"]}):
            counted, expected = settled(made), settled(shipped)
            changed = [k for k in made if counted.get(k) != expected.get(k)]
            options = [f"{'' if k in shipped else '+'}{node}.{key}.{k}={_typed(made[k])}" for k in changed]
            return [f"{key}={path.stem}", *options]
    return [f"{node}.{key}={_typed(made)}"]


def _shipped(node: str, name: str | None) -> dict[str, Any]:
    """The yaml of that name; names in rows are untrusted, so only a plain word becomes a path."""
    return _read(f"{node}/{name}.yaml") if name and _WORD.fullmatch(name) else {}


def experiment_choices(name: str | None) -> tuple[dict[str, str], dict[str, Any]]:
    """Which files an experiment chooses (`{"dataset": "cifar10", ...}`), and what it then changes."""
    raw = _shipped("experiment", name)
    return _choices(raw), {node: raw[node] for node in NODES if isinstance(raw.get(node), dict)}


def default_choices() -> dict[str, str]:
    """Which files train.yaml chooses where nothing is typed."""
    return _choices(_read("train.yaml"))


def _choices(raw: Mapping[str, Any]) -> dict[str, str]:
    lines = [line for line in raw.get("defaults", []) if isinstance(line, dict)]
    return {key.removeprefix("override /"): choice for line in lines for key, choice in line.items()}


@cache
def _read(name: str) -> dict[str, Any]:
    path = CONFIGS / name
    try:
        return without_lines(read_yaml(path)) if path.is_file() else {}
    except UserError:  # a config of the user's that Hydra will complain about better when it is used
        return {}


def _resolved(item: Any, config: Mapping[str, Mapping[str, Any]]) -> Any:
    """`${dataset.mean}` as the row's own dataset.mean."""
    match = _REFERENCE.fullmatch(item) if isinstance(item, str) else None
    return config.get(match[1], {}).get(match[2]) if match else item


def _typed(value: Any) -> str:
    """`value` as Hydra reads it from the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_typed(item)}" for key, item in value.items()) + "}"
    text = str(value)
    return (
        text if not isinstance(value, str) or _PLAIN.fullmatch(text) else "'" + text.replace("'", "\\'") + "'"
    )
