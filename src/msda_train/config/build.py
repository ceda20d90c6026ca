"""From config nodes to objects: `_target_` names a class, the other keys are its arguments.

Hydra's own `instantiate` does the same, but wraps what a constructor raises, and from Hydra 1.4 on wants a
whitelist; this needs forty lines. A `_target_` is consent: what it names is imported, also from the current
folder. So whoever builds what a stored row names looks at it first.
"""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msda_train.config import checks
from msda_train.config.consent import allow
from msda_train.config.defaults import PACKAGE
from msda_train.core.errors import UserError

PLAIN = (str, int, float, tuple, list, dict, type(None))  # what a config can hold

# What the runner asks of each axis, whoever wrote it: more is no business of a name's.
NEEDED = {"dataset": "examples", "model": "parameters", "method": "plan", "recipe": "lr_at"}


def build(name: str, node: Any, *, needed: str | None = None, **facts: Any) -> Any:
    """The object that `node` describes, made of the node's values, nested nodes first, and of `facts` that no
    config may state (class count, channels). `needed`: what it has to be able to do, where that is another
    thing than images need. Raises UserError naming `name`.* ."""
    if not isinstance(node, DictConfig):
        raise UserError(f"{name}={node}: has to be a node with {name}._target_, the class to build")
    try:
        options: Any = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as e:
        raise UserError(f"{name}: {str(e).splitlines()[0]}") from None
    made = _build(name, options, facts)
    a_probe = name.startswith("probes.") and name.count(".") == 1
    needed = needed or NEEDED.get(name, "__call__" if a_probe else "__class__")
    if not hasattr(made, needed):
        raise UserError(f"{name}._target_={options['_target_']}: makes no {name}, for it has no {needed}")
    return made


def with_defaults(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, a resolved node, with every plain default of what its `_target_` names: all that the object
    will be made of. Imports what is named. Raises UserError where it cannot."""
    filled = {key: _filled(f"{name}.{key}", value) for key, value in options.items()}
    if "_target_" not in options:
        return filled
    try:
        parameters = inspect.signature(_find(name, str(options["_target_"]))).parameters.values()
    except (TypeError, ValueError):  # of some of Python's own nobody knows the signature
        return filled
    plain = {p.name: p.default for p in parameters if isinstance(p.default, PLAIN)}
    return {**filled, **{key: _listed(value) for key, value in plain.items() if key not in filled}}


def _filled(name: str, value: Any) -> Any:
    return with_defaults(name, value) if isinstance(value, Mapping) else value


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _build(name: str, options: dict[str, Any], facts: dict[str, Any]) -> Any:
    options = {str(key): _inside(f"{name}.{key}", value) for key, value in options.items()}
    target = options.pop("_target_", None)
    if not isinstance(target, str):
        raise UserError(f"{name}: needs {name}._target_, the class to build")
    made = _find(name, target)
    ours = target.startswith(PACKAGE)
    try:
        inspect.signature(made).bind(**options, **facts)
    except TypeError as e:
        if "regulariser" in options and "argument 'regulariser'" in str(e):
            raise UserError(
                f"regulariser: {target.rpartition('.')[2]} has no residual blocks for one to act in; "
                f"type regulariser=none, or model=preactresnet18"
            ) from None
        raise UserError(f"{name}._target_={target}: {e}; these are the options of {name}.*") from None
    except ValueError:  # of some of Python's own nobody knows the signature
        pass
    if ours:
        _check_kinds(name, made, options)
    try:
        return made(**options, **facts)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as e:
        if not ours and e.__traceback__ and e.__traceback__.tb_next:  # inside somebody's own code
            raise
        large = "can't allocate memory" in str(e)
        why = "more memory than this machine has" if large else " ".join(str(e).split())[:200]
        raise UserError(f"{name}: cannot be made with these options ({why})") from None


def _check_kinds(name: str, made: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Each option has to be of the kind that the class declares for it."""
    kinds = get_type_hints(made.__init__ if isinstance(made, type) else made)  # type: ignore[misc]
    for key, value in options.items():
        if key in kinds:
            checks.kind(f"{name}.{key}", value, kinds[key])


def _inside(name: str, value: Any) -> Any:
    """A node, or a dict of nodes, as what it describes."""
    if not isinstance(value, dict):
        return value
    if "_target_" in value:
        return _build(name, value, {})
    return {key: _inside(f"{name}.{key}", item) for key, item in value.items()}


def _find(name: str, target: str) -> Any:
    *module, attribute = target.split(".")
    if not module or not all(part.isidentifier() for part in (*module, attribute)):
        raise UserError(f"{name}._target_={target}: names no class; type {name}._target_=my_file.MyClass")
    try:
        allow(module[0])
        made = getattr(import_module(".".join(module)), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise UserError(f"{name}._target_={target}: cannot be imported ({e})") from None
    if not callable(made):
        raise UserError(f"{name}._target_={target}: is no class or function")
    return made
