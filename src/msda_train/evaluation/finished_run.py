"""A finished run opened to be measured: `models.trained`, with the run's own images, device and precision.

What the row may build, `config.untrusted` says. Its paths are read, never written.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from msda_train.config.build import build
from msda_train.config.untrusted import buildable
from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Examples
from msda_train.models.trained import CHECKPOINT, find_row, read_finished, with_weights
from msda_train.records.rows import Row
from msda_train.training.device import Compute, choose
from msda_train.training.optimizer import fit
from msda_train.training.recipe import Recipe
from msda_train.training.run import Run


@dataclass(frozen=True)
class OpenedRun:
    """A finished run as it was when it ended. `network` is in evaluation mode; `history` is the
    checkpoint's."""

    row: Row
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
    """The run at `place` (see `find_row`), on `device` (None: as it was trained, if possible).
    `trust` builds whatever classes the row names.

    Raises UserError: no row, no checkpoint (where that is needed), a damaged one, other data.
    """
    row = find_row(place)
    weights = row.path.with_name(CHECKPOINT)
    missing = NoNetwork(weights)
    if network_needed and not weights.is_file():
        missing()
    nodes = {axis: node_of(row, axis, trust=trust) for axis in ("dataset", "model", "recipe")}
    compute = _compute(row, device)
    images = images_of(row, nodes["dataset"])
    run = Run(
        row.seed, row.fingerprint, recipe_of(row, nodes["recipe"]), images, compute, 0.0, row.path.parent
    )
    if not weights.is_file():
        return OpenedRun(row, run, missing, [])
    state, progress = read_finished(row)
    network = with_weights(row, nodes["model"], state, images.shape[0])
    fit(network, images.shape, compute)
    network.to(compute.device).to(memory_format=torch.channels_last)  # as `new_update` does
    return OpenedRun(row, run, network.eval(), progress["history"])


def node_of(row: Row, axis: str, *, trust: bool) -> DictConfig:
    """The part `axis` of the row's config, which may be built. UserError where it may not."""
    try:
        return buildable(axis, row.config[axis], trust=trust)
    except UserError as error:
        hint = "" if trust else "; if you made it: msda-probe and msda-table verify take --trust"
        raise UserError(f"{row.path}: {error}{hint}") from None


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


def images_of(row: Row, node: DictConfig) -> Examples:
    """The very images of the row. Nothing is downloaded, and nothing written to a folder that a row names."""
    try:
        dataset: Dataset = build("dataset", node)
        if not dataset.prepared() and node.get("cache") is not None:
            dataset = build("dataset", DictConfig({**node, "cache": None}))
        if not dataset.prepared() and dataset.source == "download":
            raise UserError(f"dataset {dataset.name} is not prepared; type: {dataset.command('prepare')}")
        images = dataset.examples(row.seed)
    except (TypeError, ValueError, AttributeError) as error:  # a number where a path should be
        raise UserError(f"{row.path}: its data set cannot be read ({' '.join(str(error).split())})") from None
    if images.content != row.data["content"]:
        raise UserError(
            f"{row.path}: trained on other images (content {str(row.data['content'])[:12]}) than are here "
            f"({images.content[:12]}); type: {dataset.command('prepare')}"
        )
    return images


def recipe_of(row: Row, node: DictConfig) -> Recipe:
    """The recipe that `node`, of the row, describes. UserError where it cannot be."""
    try:
        recipe: Recipe = build("recipe", node)
    except (TypeError, ValueError) as error:  # a word where a list should be
        raise UserError(f"{row.path}: its recipe cannot be read ({' '.join(str(error).split())})") from None
    return recipe
