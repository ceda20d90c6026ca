"""Is a row what its checkpoint says? Network rebuilt, weights loaded, test set evaluated again.

Rows are untrusted. What a row names is built only where the shipped configs name it, too; interpolations and
Hydra's other special words are refused. The row's paths are read, never written.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from msda_train.build import build
from msda_train.data.dataset import Dataset
from msda_train.data.images import Images
from msda_train.errors import UserError
from msda_train.paths import CONFIGS
from msda_train.results.rows import Row, read_row
from msda_train.results.summary import METRICS, summarise
from msda_train.results.yamlfile import read_yaml
from msda_train.runner import checkpoint
from msda_train.runner.device import Compute, choose
from msda_train.runner.recipe import Recipe
from msda_train.runner.step import Step, evaluate
from msda_train.runner.train import Run

# Another device, torch or number of threads adds up in another order: images at a decision boundary may
# change sides. Shares of the test set for errors (at least one image) and of 1 + NLL for the NLL (nats).
TOLERANCE = {"fp32": (0.001, 0.001), "bf16": (0.005, 0.01)}


@dataclass(frozen=True)
class Check:
    """One number: as stored, as found now, and how far apart they may lie (0: not at all)."""

    name: str
    stored: float
    again: float
    tolerance: float

    @property
    def equal(self) -> bool:
        return abs(self.again - self.stored) <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """`checks`: the last epoch evaluated again, and the row's other aggregates and history against those of
    the checkpoint. `exact`: same chip, precision, threads and torch, so bits are compared."""

    row: Row
    checks: tuple[Check, ...]
    device_name: str
    precision: str
    exact: bool

    @property
    def equal(self) -> bool:
        return all(check.equal for check in self.checks)


def verify(place: Path, *, device: str | None = None, trust: bool = False) -> Verification:
    """Checks the run at `place`, a run folder or its row.json. `trust` builds whatever classes it names.

    Raises UserError where there is nothing to compare: no row, no checkpoint, a damaged one, other data.
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
    if not weights.is_file():
        raise UserError(
            f"{weights}: there is no checkpoint, so there is nothing to verify; rows alone hold none"
        )
    nodes = _nodes(row, path, trust=trust)
    compute = _compute(row, device)
    images = _images(row, nodes["dataset"], path)
    recipe = _recipe(nodes["recipe"], path)
    run = Run(row.seed, row.fingerprint, recipe, images, compute, 0.0, folder)
    step, progress = _load(run, nodes["model"], weights)
    history = _history(progress, weights, recipe.epochs)
    step.network.eval()
    measured = evaluate(step.forward, run.test_loader.test_batches(), compute)
    exact = _is_exact(row, compute)
    checks = _evaluated(row, measured, compute.precision, images.n_test, exact=exact)
    checks += _remembered(row, path, history)
    return Verification(row, tuple(checks), compute.name, compute.precision, exact)


def _nodes(row: Row, path: Path, *, trust: bool) -> dict[str, DictConfig]:
    """The row's config as nodes that may be built."""
    nodes = {}
    for axis in ("dataset", "model", "recipe"):
        config = dict(row.config[axis])
        if not trust:
            config["_target_"] = _shipped_target(axis, config.get("_target_"), path)
            _plain({key: value for key, value in config.items() if key != "_target_"}, f"{path}: {axis}")
        try:
            nodes[axis] = OmegaConf.create(config)
        except Exception as error:  # odd keys and values of a row made by hand
            raise UserError(f"{path}: {axis}: {' '.join(str(error).split())}") from None
    return nodes


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
        step = run.prepare(model, None)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{weights.with_name('row.json')}: its model cannot be built ({why})") from None
    return step, checkpoint.load(weights, step.network, step.optimizer, run.fingerprint)


def _history(progress: Mapping[str, Any], weights: Path, epochs: int) -> list[dict[str, float]]:
    history = progress.get("history")
    if not isinstance(history, list) or len(history) != epochs:
        count = len(history) if isinstance(history, list) else 0
        raise UserError(f"{weights}: is of epoch {count}, the row of epoch {epochs}; they are not of one run")
    return history


def _is_exact(row: Row, compute: Compute) -> bool:
    """CUDA kernels may be chosen anew in each process, so there bits are never promised."""
    there = row.environment
    now = ("cpu", compute.name, compute.precision, torch.get_num_threads(), torch.__version__, False)
    keys = ("device", "device_name", "precision", "threads", "torch", "compile")
    return compute.device.type == "cpu" and tuple(there.get(key) for key in keys) == now


def _evaluated(
    row: Row, measured: Mapping[str, float], precision: str, images: int, *, exact: bool
) -> list[Check]:
    low = "bf16" in (precision, row.environment.get("precision"))
    fraction, nats = TOLERANCE["bf16" if low else "fp32"]
    checks = []
    for metric in METRICS:
        stored = row.metrics[f"{metric}/last"]
        room = nats * (1 + abs(stored)) if metric == "nll" else max(fraction, 1 / images) + 1e-12
        checks.append(Check(f"{metric}/last", stored, measured[metric], 0.0 if exact else room))
    return checks


def _remembered(row: Row, path: Path, history: list[dict[str, float]]) -> list[Check]:
    """The row's aggregates and history against what the checkpoint remembers of all epochs: bit for bit."""
    try:
        summary = summarise(history)
        stored = json.loads(path.read_text(encoding="utf-8"))["history"]
        different = sum(a != b for a, b in zip(stored, history, strict=False)) + abs(
            len(stored) - len(history)
        )
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: its history, or the checkpoint's, is not one of msda-train") from None
    checks = [
        Check(f"{name}, of the checkpoint", row.metrics[name], value, 0.0) for name, value in summary.items()
    ]
    return [*checks, Check("epochs of the history that differ", 0, different, 0.0)]
