"""`msda_train.model`: a network of the suite by its name, without Hydra and without a run."""

from typing import Any

from omegaconf import DictConfig
from torch import nn

from msda_train.config.build import build
from msda_train.config.groups import check_known, options_of
from msda_train.core.errors import UserError
from msda_train.models.sizes import bounded


def model(name: str, classes: int, channels: int = 3, **options: Any) -> nn.Module:
    """The network that `msda-train model=NAME` trains, with fresh weights of torch's generator, in training
    mode: from x (B, `channels`, H, W) to logits (B, `classes`).

    options: those of configs/model/NAME.yaml, and regulariser=NAME. Raises UserError that names the option.
    """
    file = options_of("model", name)
    check_known(options, file, f"model {name}")
    if isinstance(options.get("regulariser"), str):
        word = options["regulariser"]
        options["regulariser"] = None if word == "none" else options_of("regulariser", word)
    for option, value in (("classes", classes), ("channels", channels)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{option}={value}: must be a whole number, at least 1")
    with bounded("model"):
        made: nn.Module = build("model", DictConfig(file | options), classes=classes, channels=channels)
    return made
