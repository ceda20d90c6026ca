"""The loader that fits a kind of examples and the recipe's wishes for them."""

from collections.abc import Sequence

import numpy as np
import torch

from msda_train.core.errors import UserError
from msda_train.data.array_loader import ArrayLoader, find_scaling
from msda_train.data.batches import Batches
from msda_train.data.examples import Examples
from msda_train.data.images import Images
from msda_train.data.loader import Loader
from msda_train.training.recipe import Recipe


def normalisation(examples: Examples, recipe: Recipe) -> tuple[Sequence[float], Sequence[float]]:
    """What is subtracted and what then divides: for pictures by channel, of pixels in [0, 1]; for other
    examples a float32 for each of their numbers."""
    if isinstance(examples, Images):
        return recipe.mean, recipe.std
    found = find_scaling(examples.x_train, recipe.scaling)
    centre, spread = found or (np.zeros(examples.shape), np.ones(examples.shape))
    return centre.astype(np.float32).ravel().tolist(), spread.astype(np.float32).ravel().tolist()


def make_loader(
    examples: Examples,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    device: torch.device,
    *,
    batch_size: int,
    seed: int | None,
) -> Batches:
    """Batches of x, y, a split of `examples`; training batches where there is a `seed`. UserError where the
    recipe asks for what these examples cannot give."""
    if isinstance(examples, Images):
        if recipe.scaling is not None:
            raise UserError(
                f"recipe.scaling={recipe.scaling}: pictures have recipe.mean and recipe.std for that"
            )
        return Loader(
            x,
            y,
            batch_size=batch_size,
            mean=recipe.mean,
            std=recipe.std,
            device=device,
            crop_padding=recipe.crop_padding,
            padding=recipe.padding,
            crop_scale=recipe.crop_scale,
            crop_ratio=recipe.crop_ratio,
            flip=recipe.flip,
            seed=seed,
        )
    for option in ("crop_padding", "crop_scale", "flip", "cutout", "mean", "std"):
        if value := getattr(recipe, option):
            value = list(value) if option in ("mean", "std") else str(value).lower()
            raise UserError(
                f"recipe.{option}={value}: is for pictures, and these are {examples.noun}; leave it out"
            )
    scaling = find_scaling(examples.x_train, recipe.scaling)
    return ArrayLoader(x, y, batch_size=batch_size, device=device, scaling=scaling, seed=seed)
