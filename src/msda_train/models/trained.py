"""A finished run's network, from its folder: a teacher, the subject of a probe, the source of an attack."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from msda_train.config.build import build
from msda_train.core.errors import UserError
from msda_train.models.sizes import bounded

MODELS = "msda_train.models."  # a row is untrusted: nothing else that it names is built


def load_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network in evaluation mode on the CPU, its parameters frozen, and the row's config
    {"model": ..., "recipe": ..., ...}. A folder of runs will do where it holds just one.

    Leaves torch's generator as it was. Raises UserError of one line where there is no such folder, no row, no
    whole checkpoint, or the two do not belong together.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; a run's folder is the one with row.json and checkpoint.pt"
        )
    if not (folder / "row.json").exists() and len(rows := list(folder.glob("*/s*/row.json"))) == 1:
        folder = rows[0].parent
    config, classes = _row(folder / "row.json")
    weights = _weights(folder / "checkpoint.pt")
    channels = next((w.shape[1] for w in weights.values() if w.dim() == 4), 0)  # the stem's convolution
    try:
        with (
            bounded("model"),
            torch.random.fork_rng(devices=[]),
        ):  # initial values are drawn, then thrown away
            network = build("model", OmegaConf.create(config["model"]), classes=classes, channels=channels)
        network.load_state_dict(weights)
    except UserError as e:
        raise UserError(f"{folder}: {e}") from None
    except Exception as e:  # options of a wrong type, shapes that differ
        why = " ".join(str(e).split())[:100]
        raise UserError(f"{folder}: row.json and checkpoint.pt do not fit each other ({why})") from None
    return network.eval().requires_grad_(False), config


def _row(path: Path) -> tuple[dict[str, Any], int]:
    """The config and the class count of the row at `path`."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no row; the run is not finished: type its msda-train command again"
        )
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        config, classes = row["config"], row["data"]["classes"]
        if not (isinstance(config["model"], dict) and isinstance(classes, int) and classes > 0):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: is no whole row of a run with data and a model") from None
    _refuse_other_code(path, config["model"])
    return config, classes


def _refuse_other_code(path: Path, value: Any) -> None:
    """UserError where a model's node names anything but our models, or asks OmegaConf to look something
    up."""
    if isinstance(value, Mapping):
        target = value.get("_target_")
        if "_target_" in value and not (isinstance(target, str) and target.startswith(MODELS)):
            raise UserError(
                f"{path}: names {str(target)[:60]!r}, which is none of our models; it is not built"
            )
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _refuse_other_code(path, part)
    elif isinstance(value, str) and "${" in value:
        raise UserError(f"{path}: holds {value[:60]!r}; a row holds plain values only")


def _weights(path: Path) -> dict[str, Tensor]:
    """The network's state in the checkpoint at `path`, read as tensors and plain values only."""
    if not path.is_file():
        raise UserError(f"{path}: there is no checkpoint; copy it beside row.json or train the run again")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["model"]
        if not (weights and all(isinstance(w, Tensor) for w in weights.values())):
            raise ValueError
    except Exception:  # a cut file fails in the zip reader, the unpickler or here, each in its own way
        raise UserError(f"{path}: checkpoint is damaged; train the run again or copy it anew") from None
    return dict(weights)
