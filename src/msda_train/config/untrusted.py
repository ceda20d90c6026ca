"""What a stored config may build: the classes that the shipped configs name, from plain options.

A row may come from anywhere, and building what it names runs code. So this is the one place that decides.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from msda_train.config.defaults import PACKAGE, shipped
from msda_train.core.errors import UserError


def buildable(group: str, config: Mapping[str, Any], *, trust: bool = False) -> DictConfig:
    """The node `group` (dataset, model, method, recipe) of a stored config, ready for `build`.

    trust: it may name any class, as if it had been typed. Raises UserError of one line that begins with
    `group` where it may not be built.
    """
    try:
        return OmegaConf.create(dict(config) if trust else _checked(group, group, config))
    except UserError:
        raise
    except Exception as error:  # a ${ that does not end
        raise UserError(f"{group}: {' '.join(str(error).split())}") from None


def _checked(group: str, where: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the class of `group` that is shipped today; model.regulariser has a group of its own."""
    checked: dict[str, Any] = {"_target_": _shipped_class(group, where, config.get("_target_"))}
    for key, value in config.items():
        if key == "regulariser" and isinstance(value, Mapping):
            checked[key] = _checked(key, f"{where}.{key}", value)
        elif key != "_target_":
            _refuse_special(where, {key: value})
            checked[key] = value
    return checked


def _shipped_class(group: str, where: str, target: Any) -> str:
    """Found by the last component, as in the fingerprint: since the row was written its module may have
    moved."""
    name = str(target)
    found = shipped(group).get(name.rpartition(".")[2])
    if found is None or not name.startswith(PACKAGE):
        raise UserError(f"{where} is {name[:60]!r}, which is no part of msda-train")
    return found


def _refuse_special(where: str, value: Any) -> None:
    """UserError where `value` holds anything that Hydra or OmegaConf would act on."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).startswith("_"):
                raise UserError(f"{where}.{str(key)[:60]}: a row may not say this")
            _refuse_special(f"{where}.{key}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_special(where, item)
    elif isinstance(value, str) and "${" in value:
        raise UserError(f"{where}: {value[:60]!r} is not a plain word")
