"""Boxes around objects, as data sets state them: checked, and moved with the pixels of their image."""

from collections.abc import Sequence

import numpy as np

from msda_train.core.errors import UserError

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels from the image's corner
SLACK = 2.0  # pixels: people draw a little over the edge


def inside(name: str, box: Box, size: tuple[int, int]) -> Box:
    """`box` of an image of `size` (width, height) in pixels, cut at its edges. UserError names the image
    where the box lies outside of it, or has no area."""
    left, top, right, bottom = box
    width, height = size
    out = min(left, top) < -SLACK or right > width + SLACK or bottom > height + SLACK
    if out or not (left < right and top < bottom):
        raise UserError(
            f"{name}: its box {', '.join(f'{side:g}' for side in box)} does not lie in the image of "
            f"{width}x{height} pixels; correct the file of boxes, or take the image away"
        )
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def scaled(box: Box, size: tuple[int, int], to: tuple[int, int]) -> Box:
    """`box` of an image of `size` (width, height) once that is squeezed to another."""
    across, down = to[0] / size[0], to[1] / size[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def table(boxes: Sequence[Sequence[Box]]) -> np.ndarray:
    """(M, K, 4) float32 of the boxes of M images, K the most that one has; NaN for those that are fewer."""
    made = np.full((len(boxes), max(map(len, boxes), default=0), 4), np.nan, dtype=np.float32)
    for row, each in zip(made, boxes, strict=True):
        if each:
            row[: len(each)] = each
    return made


def cut_out(box: Box, size: tuple[int, int], resize: int, crop: int, *, squeeze: bool = False) -> list[Box]:
    """`box` of an image of `size` (width, height) once its shorter side (squeeze: each side) is `resize`
    pixels and the middle of `crop` x `crop` is cut out, as torchvision's Resize and CenterCrop do; empty
    where nothing is left."""
    short = min(size)
    to = tuple(resize if squeeze or side == short else int(resize * side / short) for side in size)
    off = [round((side - crop) / 2) for side in to]
    left, top, right, bottom = scaled(box, size, (to[0], to[1]))
    left, right = (min(max(side - off[0], 0.0), float(crop)) for side in (left, right))
    top, bottom = (min(max(side - off[1], 0.0), float(crop)) for side in (top, bottom))
    return [(left, top, right, bottom)] if left < right and top < bottom else []
