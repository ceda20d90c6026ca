"""A finished run opened again: its row, its checkpoint, its network. Both files are untrusted: the row is
checked, what it names is built only if it is shipped, and the checkpoint may hold tensors and plain values
only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from msda_train.config.build import build
from msda_train.config.fingerprint import former_fingerprint
from msda_train.config.untrusted import buildable
from msda_train.core.errors import UserError
from msda_train.core.packed import opened
from msda_train.models.second_head import without_second_head
from msda_train.models.sizes import bounded
from msda_train.records.rows import Row, read_row
from msda_train.records.summary import CLASSIFICATION

CHECKPOINT = "checkpoint.pt"  # beside row.json


def load_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network in evaluation mode on the CPU, its parameters frozen, and the row's config
    {"model": ..., "recipe": ..., ...}. A folder of runs will do where it holds just one.

    Leaves torch's generator as it was. Raises UserError of one line where there is no such folder, no sound
    row, no whole checkpoint, or the two do not belong together.
    """
    row = find_row(Path(folder))
    try:
        node = buildable("model", row.config["model"])
    except UserError as error:
        raise UserError(f"{row.path}: {error}; give the folder of a run of a shipped model") from None
    weights, _ = read_finished(row)
    images = (w.shape[1] for w in weights.values() if isinstance(w, Tensor) and w.dim() == 4)
    network = with_weights(row, node, weights, channels=next(images, 0))  # of the stem's convolution
    return network.requires_grad_(False), dict(row.config)


def find_row(place: Path) -> Row:
    """The row of the finished run at `place`: its folder, its row.json, or a folder of just one run.

    Raises UserError where there is none, or no sound one.
    """
    if not place.exists():
        raise UserError(f"{place}: no such folder; a run's folder is the one with row.json and {CHECKPOINT}")
    path = place / "row.json" if place.is_dir() else place
    if not path.exists() and len(found := list(place.glob("*/s*/row.json"))) == 1:
        path = found[0]
    if not path.is_file():
        raise UserError(
            f"{path}: there is no row; the run is not finished: type its msda-train command again"
        )
    row, folder = read_row(path), path.parent.name
    if folder[:1] == "s" and folder[1:].isdigit() and folder != f"s{row.seed}":
        raise UserError(f"{path}: says seed {row.seed} in a folder named {folder}; one of them was changed")
    if row.task != CLASSIFICATION:
        raise UserError(f"{path}: is a run of task={row.task}; there is no classifier in it")
    return row


def read_finished(row: Row) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Weights and progress (its history, its inputs) of the checkpoint beside `row`. Raises UserError where
    there is none, where it is damaged, of another configuration, or of another epoch than the last."""
    path = row.path.with_name(CHECKPOINT)
    if not path.is_file():
        raise UserError(f"{path}: there is no checkpoint; copy it beside row.json or train the run again")
    state = read_checkpoint(path, row.fingerprint, former_fingerprint(row.config))
    history, epochs = state["progress"].get("history"), row.epochs
    if not isinstance(history, list) or len(history) != epochs:
        count = len(history) if isinstance(history, list) else 0
        raise UserError(f"{path}: is of epoch {count}, the row of epoch {epochs}; they are not of one run")
    return state["model"], state["progress"]


def read_checkpoint(path: Path, *fingerprints: str) -> dict[str, Any]:
    """{"model": state, "optimizer": state, "progress": {"fingerprint": ..., "history": [...], ...}}, on the
    CPU; no "optimizer" where only weights were kept. Raises UserError where the file is damaged, or its run
    has none of `fingerprints`."""
    try:
        with opened(path) as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
        state = {**state, "progress": json.loads(state["progress"])}
        found = state["progress"]["fingerprint"]
        if not isinstance(state["model"], Mapping):
            raise ValueError
    except Exception:  # a cut file fails in the zip reader, the unpickler or here, each in its own way
        raise UserError(f"{path}: checkpoint is damaged; move it away to train from the start") from None
    if found not in fingerprints:
        raise UserError(
            f"{path}: checkpoint of another configuration ({str(found)[:60]}, its run is {fingerprints[0]}); "
            "move it away to train from the start"
        )
    return state


def with_weights(row: Row, model: DictConfig, weights: Mapping[str, Any], channels: int) -> nn.Module:
    """The network that `model`, a node that may be built, describes, in evaluation mode on the CPU.

    channels: of its images. Raises UserError where it cannot be made, or `weights` are not its own.
    """
    classes = row.data["classes"]
    try:  # initial values are drawn, then thrown away
        with bounded("model"), torch.random.fork_rng(devices=[]):
            network: nn.Module = build("model", model, classes=classes, channels=channels)
        network.load_state_dict(without_second_head(weights))
    except UserError as error:
        raise UserError(f"{row.path}: {error}") from None
    except Exception as error:  # options of a wrong type, shapes that differ
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{row.path}: its model and {CHECKPOINT} do not fit each other ({why})") from None
    return network.eval()
