"""Reading yaml without Hydra: a fifth of a second matters to a command that answers in one."""

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from msda_train.core.errors import UserError

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


def without_lines(value: Any) -> Any:
    """`value` as it was written."""
    if isinstance(value, dict):
        return {key: without_lines(item) for key, item in value.items() if key != LINE}
    if isinstance(value, list):
        return [without_lines(item) for item in value]
    return value
