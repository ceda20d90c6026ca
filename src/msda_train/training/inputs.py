"""What a trained network is used with elsewhere: kept in its checkpoint, so that no data set is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from msda_train.data.examples import Examples
from msda_train.data.images import Images
from msda_train.training.loaders import normalisation
from msda_train.training.recipe import Recipe


@dataclass(frozen=True)
class Inputs:
    """classes: names in the order of the logits; shape: of one example as the network gets it, of a picture
    (C, H, W); pictures: whether it is one; mean, std: what is subtracted and what then divides, of pictures
    by channel, of pixels in [0, 1], of other examples by number, empty where nothing is done to them."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    pictures: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, examples: Examples, recipe: Recipe) -> Self:
        """Those of a run on `examples`."""
        pictures = isinstance(examples, Images)
        scaled = pictures or recipe.scaling is not None
        mean, std = map(tuple, normalisation(examples, recipe)) if scaled else ((), ())
        return cls(examples.classes, tuple(examples.shape), pictures, mean, std)

    @classmethod
    def stored(cls, raw: Mapping[str, Any]) -> Self:
        """Those of a checkpoint, checked. ValueError, TypeError or LookupError where they make no sense."""
        found = cls(
            tuple(map(str, raw["classes"])),
            tuple(map(int, raw["shape"])),
            bool(raw["pictures"]),
            *(tuple(map(float, raw[key])) for key in ("mean", "std")),
        )
        numbers = 1
        for side in found.shape:
            numbers *= side
        wanted = found.shape[0] if found.pictures else numbers
        fits = len(found.shape) == 3 or not found.pictures
        if not fits or numbers < 1 or {len(found.mean), len(found.std)} - {wanted, 0} or 0.0 in found.std:
            raise ValueError("shape and normalisation do not fit each other")
        return found
