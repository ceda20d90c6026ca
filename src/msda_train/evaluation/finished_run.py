"""A finished run opened again: its row, its images, its network with the stored weights.

Rows are untrusted. What a row names is built only where the shipped configs name it, too; interpolations and
Hydra's other special words are refused. The row's paths are read, never written.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from msda_train.config.build import build
from msda_train.config.yaml_file import read_yaml
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.data.dataset import Dataset
from msda_train.data.images import Images
from msda_train.methods.erm import Erm
from msda_train.records.rows import Row, read_row
from msda_train.training import checkpoint
from msda_train.training.device import Compute, choose
from msda_train.training.recipe import Recipe
from msda_train.training.run import Run
from msda_train.training.step import Step


@dataclass(frozen=True)
class OpenedRun:
    """A finished run as it was when it ended. `network` is in evaluation mode; `history` is the
    checkpoint's."""

    row: Row
    path: Path  # of the row
    run: Run
    network: nn.Module
    history: list[dict[str, float]]


class NoNetwork(nn.Module):
    """Stands in for the network of a run whose checkpoint is gone: whoever needs it is told."""

    def __init__(self, weights: Path):
        super().__init__()
        self.weights = weights

    def forward(self, *_: Any) -> Tensor:
        """Raises UserError."""
        raise UserError(f"{self.weights}: there is no checkpoint; a row alone holds no network")


def open_run(
    place: Path, *, device: str | None = None, trust: bool = False, network_needed: bool = True
) -> OpenedRun:
    """The run at `place`, a run folder or its row.json, on `device` (None: as it was trained, if possible).
    `trust` builds whatever classes the row names.

    Raises UserError: no row, no checkpoint (where that is needed), a damaged one, other data.
    """
    path = place / "row.json" if place.is_dir() else place
    folder = path.parent
    if not path.is_file():
        raise UserError(
            f"{path}: there is no row; the run is not finished: type its msda-train command again"
        )
    row, weights = read_row(path), folder / "checkpoint.pt"
    if folder.name[:1] == "s" and folder.name[1:].isdigit() and folder.name != f"s{row.seed}":
        raise UserError(
            f"{path}: says seed {row.seed} in a folder named {folder.name}; one of them was changed"
        )
    missing = NoNetwork(weights)
    if network_needed and not weights.is_file():
        missing()
    nodes = _nodes(row, path, trust=trust)
    compute = _compute(row, device)
    images = _images(row, nodes["dataset"], path)
    recipe = _recipe(nodes["recipe"], path)
    run = Run(row.seed, row.fingerprint, recipe, images, compute, 0.0, folder)
    if not weights.is_file():
        return OpenedRun(row, path, run, missing, [])
    step, progress = _load(run, nodes["model"], weights)
    return OpenedRun(row, path, run, step.network.eval(), _history(progress, weights, recipe.epochs))


def _nodes(row: Row, path: Path, *, trust: bool) -> dict[str, DictConfig]:
    """The row's config as nodes that may be built."""
    nodes = {}
    for axis in ("dataset", "model", "recipe"):
        config: Any = row.config[axis]
        if not trust:
            config = _checked(axis, config, path)
        try:
            nodes[axis] = OmegaConf.create(config)
        except Exception as error:  # odd keys and values of a row made by hand
            raise UserError(f"{path}: {axis}: {' '.join(str(error).split())}") from None
    return nodes


def _checked(group: str, config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`config` with the shipped classes; model.regulariser has a group of its own."""
    checked: dict[str, Any] = {"_target_": _shipped_target(group, config.get("_target_"), path)}
    for key, value in config.items():
        if key == "regulariser" and isinstance(value, Mapping):
            checked[key] = _checked(key, value, path)
        elif key != "_target_":
            _plain({key: value}, f"{path}: {group}")
            checked[key] = value
    return checked


def _shipped_target(axis: str, target: Any, path: Path) -> str:
    """The shipped class of that name. By its last component, as in the fingerprint: modules may move."""
    shipped = {str(read_yaml(file).get("_target_")) for file in sorted((CONFIGS / axis).glob("*.yaml"))}
    by_name = {name.rpartition(".")[2]: name for name in shipped}
    name = str(target)
    if not name.startswith("msda_train.") or name.rpartition(".")[2] not in by_name:
        raise UserError(f"{path}: {axis} is {name!r}, which is no part of msda-train; type --trust to run it")
    return by_name[name.rpartition(".")[2]]


def _plain(value: Any, where: str) -> None:
    """UserError where `value` holds anything that Hydra or OmegaConf would act on."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).startswith("_"):
                raise UserError(f"{where}.{key}: a row may not say this; type --trust to run it all the same")
            _plain(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _plain(item, where)
    elif isinstance(value, str) and "${" in value:
        raise UserError(f"{where}: {value!r} is not a plain word; type --trust to run it all the same")


def _compute(row: Row, device: str | None) -> Compute:
    """Where the run was trained if this machine can do that, else whatever it has; the row's precision."""
    there = row.environment
    threads, cores = there.get("threads"), os.cpu_count() or 1
    usable = isinstance(threads, int) and not isinstance(threads, bool) and 1 <= threads <= cores
    precision = there.get("precision") if there.get("precision") in ("fp32", "bf16") else "fp32"
    word = device
    if word is None:
        kind = there.get("device")
        word = "cpu" if kind == "cpu" or not torch.cuda.is_available() else "cuda"
    return choose(word, precision, False, threads if usable else None)


def _images(row: Row, node: DictConfig, path: Path) -> Images:
    """The very images of the row. Nothing is downloaded, and nothing written to a folder that a row names."""
    try:
        dataset: Dataset = build("dataset", node)
        if not dataset.prepared() and node.get("cache") is not None:
            dataset = build("dataset", DictConfig({**node, "cache": None}))
        if not dataset.prepared() and dataset.source == "download":
            raise UserError(f"dataset {dataset.name} is not prepared; type: {dataset.command('prepare')}")
        images = dataset.images()
    except (TypeError, ValueError, AttributeError) as error:  # a number where a path should be
        raise UserError(f"{path}: its data set cannot be read ({' '.join(str(error).split())})") from None
    if images.content != row.data["content"]:
        raise UserError(
            f"{path}: trained on other images (content {str(row.data['content'])[:12]}) than are here "
            f"({images.content[:12]}); type: {dataset.command('prepare')}"
        )
    return images


def _recipe(node: DictConfig, path: Path) -> Recipe:
    try:
        recipe: Recipe = build("recipe", node)
    except (TypeError, ValueError) as error:  # a word where a list should be
        raise UserError(f"{path}: its recipe cannot be read ({' '.join(str(error).split())})") from None
    return recipe


def _load(run: Run, model: DictConfig, weights: Path) -> tuple[Step, dict[str, Any]]:
    try:
        step = run.prepare(model, Erm())
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{weights.with_name('row.json')}: its model cannot be built ({why})") from None
    return step, checkpoint.load(weights, step.update, run.fingerprint)


def _history(progress: Mapping[str, Any], weights: Path, epochs: int) -> list[dict[str, float]]:
    history = progress.get("history")
    if not isinstance(history, list) or len(history) != epochs:
        count = len(history) if isinstance(history, list) else 0
        raise UserError(f"{weights}: is of epoch {count}, the row of epoch {epochs}; they are not of one run")
    return history
