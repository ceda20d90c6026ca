"""Reading yaml without Hydra: a fifth of a second matters to a command that answers in one."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from msda_train.core.errors import UserError, nearest

LINE = "__line__"  # key under which each mapping remembers where it began


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loading that reads 1e-4 as a number, as OmegaConf does, and refuses a key written twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is written twice", node.start_mark)
        return mapping | {LINE: node.start_mark.line + 1}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in `path`, each mapping with its LINE; UserError with file and line if it is not yaml."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: {getattr(error, 'problem', None) or 'not yaml'}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}:1: expected `key: value` lines")
    return raw


def read_scalar(text: str) -> Any:
    """One value as yaml reads it; the text itself where it is none."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def check_keys(raw: Mapping[str, Any], known: Iterable[str], required: Iterable[str], where: str) -> None:
    """UserError, with `where` as its place, for a key of `raw` that is not `known`, or missing or null."""
    for key in raw:
        if key != LINE and key not in known:
            raise UserError(f"{where}: unknown word '{key}'; {nearest(str(key), known)}")
    for key in sorted(required):
        if raw.get(key) is None:
            raise UserError(f"{where}: '{key}' is missing")


def mappings(raw: Any, where: str) -> list[dict[str, Any]]:
    """`raw`, a list of one mapping or more. UserError for anything else."""
    if not isinstance(raw, list) or not raw or not all(isinstance(item, dict) for item in raw):
        raise UserError(f"{where} is not a list of `key: value` blocks")
    return raw


def without_lines(value: Any) -> Any:
    """`value` as it was written."""
    if isinstance(value, dict):
        return {key: without_lines(item) for key, item in value.items() if key != LINE}
    if isinstance(value, list):
        return [without_lines(item) for item in value]
    return value
