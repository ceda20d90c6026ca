"""`msda_train.model`: a network of the suite by its name, without Hydra and without a run."""

from typing import Any

from omegaconf import DictConfig
from torch import nn

from msda_train.config.build import build
from msda_train.config.yaml_file import read_yaml, without_lines
from msda_train.core.errors import UserError, nearest
from msda_train.core.paths import CONFIGS
from msda_train.models.sizes import bounded


def names(group: str = "model") -> list[str]:
    """The words that may stand behind `model=` on the command line."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def model(name: str, classes: int, channels: int = 3, **options: Any) -> nn.Module:
    """The network that `msda-train model=NAME` trains, with fresh weights of torch's generator, in training
    mode: from x (B, `channels`, H, W) to logits (B, `classes`).

    options: those of configs/model/NAME.yaml, and regulariser=NAME. Raises UserError that names the option.
    """
    file = _file("model", name)
    for option in options:
        if option not in file:
            raise UserError(f"{option}: model {name} has no such option; {nearest(option, file)}")
    if isinstance(options.get("regulariser"), str):
        options["regulariser"] = _file("regulariser", options["regulariser"]) or None
    for option, value in (("classes", classes), ("channels", channels)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{option}={value}: must be a whole number, at least 1")
    with bounded("model"):
        made: nn.Module = build("model", DictConfig(file | options), classes=classes, channels=channels)
    return made


def _file(group: str, name: str) -> dict[str, Any]:
    if name not in names(group):
        raise UserError(f"{group}={str(name)[:60]}: unknown; {nearest(str(name), names(group))}")
    found: dict[str, Any] = without_lines(read_yaml(CONFIGS / group / f"{name}.yaml"))
    return {} if name == "none" else found
