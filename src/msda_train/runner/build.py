"""From config leaves to objects: Hydra's `instantiate`, with its failures told in one line."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from msda_train.errors import UserError


def build(name: str, node: DictConfig, **facts: Any) -> Any:
    """The object that `node._target_` names, made of the node's other values and of `facts` that no config
    may state (class count, channels). Raises UserError naming `name`.* ."""
    target = OmegaConf.select(node, "_target_")
    if not isinstance(target, str):
        raise UserError(f"{name}: needs {name}._target_, the class to build")
    try:
        return instantiate(node, **facts, _convert_="all")
    except InstantiationException as e:
        cause: BaseException | None = e
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            if isinstance(cause, TypeError):
                detail = str(cause).removeprefix(f"{target.rpartition('.')[2]}.__init__() ")
                raise UserError(
                    f"{name}._target_={target}: {detail}; these are the options of {name}.*"
                ) from None
            if isinstance(cause, ImportError | AttributeError):
                why = " ".join(str(cause).split())
                raise UserError(f"{name}._target_={target}: cannot be imported ({why})") from None
            cause = cause.__cause__ or cause.__context__
        raise UserError(f"{name}: {str(e).splitlines()[0]}") from None
