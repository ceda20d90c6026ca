"""`dataset.mean=auto` and `dataset.std=auto` become numbers before a run is made of them.

They are measured on the images that the run trains on: after the split, the cap and the subset, over all
pixels, to four decimals. From there on the run is one where they were typed: the row holds the numbers, and
the fingerprint counts them.
"""

import copy
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from msda_train.config import checks
from msda_train.config.build import build
from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.images import Images
from msda_train.data.moments import measured
from msda_train.data.options import AUTO
from msda_train.training.run_cache import RunCache, is_ours

STAND_IN = (0.5,)


def auto(cfg: DictConfig) -> list[str]:
    """Which of mean and std are to be measured."""
    return [key for key in ("mean", "std") if OmegaConf.select(cfg, f"dataset.{key}") == AUTO]


def stand_in(cfg: DictConfig) -> DictConfig:
    """`cfg` with some number for what is not measured yet: enough to check all other options. UserError where
    the recipe would not look at it."""
    for key in ("mean", "std"):
        value = OmegaConf.select(cfg, f"dataset.{key}")
        if isinstance(value, str) and value != AUTO:
            hint = f"type dataset.{key}={AUTO}, or a number for each channel"
            raise UserError(f"dataset.{key}={checks.shown(value)}: unknown; {hint}")
    if auto(cfg):
        recipe: Any = OmegaConf.to_container(cfg.recipe, resolve=False)
        for key in auto(cfg):
            if recipe.get(key) != f"${{dataset.{key}}}":
                raise UserError(
                    f"dataset.{key}={AUTO}: this recipe has numbers of its own; "
                    f"type 'recipe.{key}=${{dataset.{key}}}', too"
                )
    return _with(cfg, {key: list(STAND_IN) for key in auto(cfg)})


def measured_config(cfg: DictConfig, cache: RunCache) -> DictConfig:
    """`cfg` with the numbers. Reads the data; UserError where there are none, or they are no pictures."""
    wanted: Any = OmegaConf.to_container(cfg.dataset, resolve=True)
    found: dict[str, list[float]] | None = cache.find("moments", wanted)
    if found is None:
        found = numbers(build("dataset", cfg.dataset))
        if is_ours(wanted):
            cache.keep("moments", wanted, found)
    return _with(cfg, {key: found[key] for key in auto(cfg)})


def numbers(dataset: Dataset) -> dict[str, list[float]]:
    """`mean` and `std` of the training images, which all seeds share."""
    images = dataset.examples()
    if not isinstance(images, Images):
        raise UserError(f"dataset.mean={AUTO}: is for pictures, and these are {images.noun}; leave it out")
    return measured(images.x_train)


def _with(cfg: DictConfig, numbers: Mapping[str, list[float]]) -> DictConfig:
    if numbers:
        cfg = copy.deepcopy(cfg)
        for key, values in numbers.items():
            cfg.dataset[key] = values
    return cfg
