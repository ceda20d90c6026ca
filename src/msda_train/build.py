"""From config nodes to objects: `_target_` names a class, the other keys are its arguments.

Hydra's own `instantiate` does the same, but wraps what a constructor raises, and from Hydra 1.4 on wants a
whitelist; this needs twenty lines.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msda_train.errors import UserError

PLAIN = (str, int, float, tuple, list, dict, type(None))  # what a config can hold


def build(name: str, node: DictConfig, **facts: Any) -> Any:
    """The object that `node` describes, made of the node's values, nested nodes first, and of `facts` that no
    config may state (class count, channels). Raises UserError naming `name`.* ."""
    try:
        options: Any = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as e:
        raise UserError(f"{name}: {str(e).splitlines()[0]}") from None
    return _build(name, options, facts)


def with_defaults(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, a resolved node, with every plain default of what its `_target_` names: all that the object
    will be made of. Imports what is named. Raises UserError where it cannot."""
    filled = {key: _filled(f"{name}.{key}", value) for key, value in options.items()}
    if "_target_" not in options:
        return filled
    parameters = inspect.signature(_find(name, str(options["_target_"]))).parameters.values()
    plain = {p.name: p.default for p in parameters if isinstance(p.default, PLAIN)}
    return {**filled, **{key: _listed(value) for key, value in plain.items() if key not in filled}}


def _filled(name: str, value: Any) -> Any:
    return with_defaults(name, value) if isinstance(value, Mapping) else value


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _build(name: str, options: dict[str, Any], facts: dict[str, Any]) -> Any:
    options = {key: _inside(f"{name}.{key}", value) for key, value in options.items()}
    target = options.pop("_target_", None)
    if not isinstance(target, str):
        raise UserError(f"{name}: needs {name}._target_, the class to build")
    made = _find(name, target)
    try:
        inspect.signature(made).bind(**options, **facts)
    except TypeError as e:
        raise UserError(f"{name}._target_={target}: {e}; these are the options of {name}.*") from None
    return made(**options, **facts)


def _inside(name: str, value: Any) -> Any:
    """A node, or a dict of nodes, as what it describes."""
    if not isinstance(value, dict):
        return value
    if "_target_" in value:
        return _build(name, value, {})
    return {key: _inside(f"{name}.{key}", item) for key, item in value.items()}


def _find(name: str, target: str) -> Any:
    module, _, attribute = target.rpartition(".")
    try:
        made = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise UserError(f"{name}._target_={target}: cannot be imported ({e})") from None
    if not callable(made):
        raise UserError(f"{name}._target_={target}: is no class or function")
    return made
