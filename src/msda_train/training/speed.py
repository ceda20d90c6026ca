"""How fast this machine trains: `python -m msda_train.training.speed [--facts] WORDS [-- WORDS ...]`.

For each group of words (as for msda-train) it takes a few real training steps of that model at that batch
size on synthetic images of the right shape and prints one line of JSON; on a CPU a rough one (`"rough":
true`) comes before it. With --facts it measures nothing and says only which device and how many images a run
would have. A program of its own, because it imports torch.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.course import HALF_WAY
from msda_train.core.errors import UserError
from msda_train.core.mix import Method, PicksPartners
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.data.batches import Draw
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Examples
from msda_train.data.images import Images
from msda_train.data.resize import sides
from msda_train.training.device import Compute, compute_from
from msda_train.training.recipe import Recipe
from msda_train.training.run import Run
from msda_train.training.step import Step

LEAST_STEPS, MOST_STEPS = 3, 50
ROUGHLY = 16
ENOUGH_SECONDS = 1.0  # of measured steps; a step that takes long is measured LEAST_STEPS times


def main(arguments: Sequence[str]) -> int:
    """One line of JSON per group of words; `{"error": ...}` for one that cannot be run."""
    facts_only = "--facts" in arguments
    groups: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            groups.append([])
        elif word != "--facts":
            groups[-1].append(word)
    for words in groups:
        try:
            answer = _answer(words, facts_only=facts_only)
        except Exception as error:  # whatever somebody's own model raises: this group has no estimate
            answer = {"error": " ".join(str(error).split()) or type(error).__name__}
        print(json.dumps(answer), flush=True)
    return 0


def _answer(words: Sequence[str], *, facts_only: bool) -> dict[str, Any]:
    cfg = compose(*words)
    compute = compute_from(cfg)
    dataset: Dataset = build("dataset", cfg.dataset)
    shape, classes, train_images, test_images = _counts(dataset)
    facts = {
        "device": compute.device.type,
        "device_name": compute.name,
        "precision": compute.precision,
        "compile": compute.compile,
        "threads": torch.get_num_threads(),
        "train_images": train_images,
        "test_images": test_images,
    }
    if facts_only:
        return facts
    seconds = step_seconds(cfg, compute, shape, classes, dataset.kind)
    return {**facts, "step_seconds": median(seconds), "steps": len(seconds)}


def rough_seconds(step: Step, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    """A first answer, from a sixteenth of the batch: on a machine so slow or busy that nobody waits for whole
    steps, it is all there is."""
    few = len(x) // ROUGHLY
    _one(step, x[:few], y[:few], -2)  # the first allocates
    started = time.monotonic()
    _one(step, x[:few], y[:few], -2)
    seconds = (time.monotonic() - started) * len(x) / few
    return {"rough": True, "step_seconds": seconds, "steps": 1, "images": few}


def step_seconds(
    cfg: DictConfig, compute: Compute, shape: Sequence[int], classes: int, kind: type[Examples] = Images
) -> list[float]:
    """Seconds of each of a few training steps of `cfg` on noise, examples of this kind and `shape`, pictures
    (H, W, C), after one that warms up."""
    recipe: Recipe = build("recipe", cfg.recipe)
    rng, batch = np.random.default_rng(0), recipe.batch_size
    x: np.ndarray = rng.integers(0, 256, (batch, *shape), dtype=np.uint8)
    if kind is not Images:
        x = x.astype(np.float32) / 255
    y = rng.integers(0, classes, batch)
    names = tuple(map(str, range(classes)))
    images = kind(x, y, x[:1], y[:1], names, name="noise", content="", complete=False)
    run = _RunOnNoise(0, "", recipe, images, compute, 0.0, CONFIGS)  # in memory; its folder is never used
    step = replace(run.prepare(cfg.model, build("method", cfg.method)), erm_epochs=0).at(HALF_WAY)
    step.network.train()
    timed: list[float] = []
    # Two that do not count: the first allocates (and compiles), on a GPU the second may still choose kernels.
    for number in range(-2, MOST_STEPS):
        started = time.perf_counter()
        for here, xb, yb in step.over(run.train_loader, number + 2):
            if number == -2 and compute.device.type == "cpu" and not compute.compile and batch >= 2 * ROUGHLY:
                print(json.dumps(rough_seconds(here, xb, yb)), flush=True)
            _one(here, xb, yb, number)
        seconds = time.perf_counter() - started
        timed += [seconds] if number >= 0 or (seconds > ENOUGH_SECONDS and number == -1) else []
        if len(timed) >= LEAST_STEPS and sum(timed) >= ENOUGH_SECONDS:
            break
    return timed


class _RunOnNoise(Run):
    """There are no near images to search for, and any partner takes a step as long."""

    def partners(self, method: Method) -> Draw | None:
        """See `Run.partners`."""
        wanted = isinstance(method, PicksPartners) and method.among()
        return (lambda image, _: image) if wanted else None


def _one(step: Step, x: torch.Tensor, y: torch.Tensor, number: int) -> None:
    step(x, y, generator(0, "probe", number + 2)).item()  # item(): until the device is done


def _counts(dataset: Dataset) -> tuple[tuple[int, ...], int, int, int]:
    """An example's shape, classes, training and test examples: of prepared data, else of the official set."""
    if dataset.prepared():
        images = dataset.examples()
        return images.x_train.shape[1:], images.n_classes, images.n_train, images.n_test
    shape, classes, train, test = dataset.shape, dataset.n_classes, dataset.n_train, dataset.n_test
    official = dataset.source in ("download", "embedded")
    if not official or None in (shape, classes, train, test):
        raise UserError(f"dataset {dataset.name} is not prepared; type: {dataset.command('prepare')}")
    assert shape is not None
    assert classes is not None
    assert train is not None
    assert test is not None
    if dataset.size is not None:
        shape = (*sides(dataset.size), *shape[2:])
    if dataset.cap_per_class is not None:
        train = min(train, dataset.cap_per_class * classes)
    return shape, classes, dataset.subset or train, dataset.test_subset or test


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
