"""Pictures brought to one size: the short side to the size, the centre cut out.

Pillow's `ImageOps.fit` does both in one resampling, bicubic, with the filter as wide as the shrinking asks
for (antialiased).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.data.examples import Arrays

if TYPE_CHECKING:
    from PIL.Image import Image

Size = int | tuple[int, ...]
LARGEST_SIDE = 8192


def check_size(size: Size) -> None:
    """UserError where `dataset.size` is neither one side nor [height, width]. There is one way to type a
    size, so that equal runs have equal fingerprints."""
    if isinstance(size, tuple) and len(size) != 2:
        raise UserError(
            f"dataset.size={list(size)}: must be one number, or height and width; type dataset.size=64"
        )
    for side in size if isinstance(size, tuple) else (size,):
        checks.whole("dataset.size", side, least=1)
        if side > LARGEST_SIDE:
            raise UserError(f"dataset.size={side}: at most {LARGEST_SIDE} pixels; type dataset.size=64")
    if isinstance(size, tuple) and size[0] == size[1]:
        raise UserError(f"dataset.size={list(size)}: is a square; type dataset.size={size[0]}")


def sides(size: Size) -> tuple[int, int]:
    """(height, width)."""
    return (size[0], size[1]) if isinstance(size, tuple) else (size, size)


def fitted(image: "Image", size: Size) -> "Image":
    """One picture, of mode L or RGB; unchanged where it has this size."""
    from PIL import Image, ImageOps

    height, width = sides(size)
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


def resized(x: np.ndarray, size: Size) -> np.ndarray:
    """(N, height, width, C) uint8 from x (N, H, W, C), C 1 or 3."""
    if x.shape[1:3] == sides(size):
        return x
    from PIL import Image

    made = np.empty((len(x), *sides(size), x.shape[3]), dtype=np.uint8)
    for k, pixels in enumerate(x):
        image = Image.fromarray(pixels[..., 0] if x.shape[3] == 1 else pixels)
        made[k] = np.asarray(fitted(image, size)).reshape(made.shape[1:])
    return made


def sized(arrays: Arrays, size: Size | None) -> Arrays:
    """All pictures of a set brought to `size`; None: as they are."""
    if size is None:
        return arrays
    return replace(arrays, x_train=resized(arrays.x_train, size), x_test=resized(arrays.x_test, size))
