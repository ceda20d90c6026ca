"""Class activation maps side by side: a column of the images, then one for each run; red: where it looks."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from msda_train.reporting.pictures.picture import Draw, Panel, Picture

TITLE = "Where the networks look"
CELL, HEAD, GAP = 1.15, 0.18, 0.04  # inches of an image, of the words above it, between
HEAT = 0.5  # how much of the heat covers the image


@dataclass(frozen=True)
class Cell:
    """One image: (H, W, C) uint8, C 1 or 3; `heat` (H, W) in [0, 1] on top of it, or None."""

    words: str
    image: np.ndarray | None = None
    heat: np.ndarray | None = None


def looks_picture(columns: Sequence[tuple[str, Sequence[Cell]]], notes: Sequence[str]) -> Picture:
    """Of each column its caption and cells, from above; all columns have as many."""
    panels = [
        Panel(caption, _column(cells), CELL + 0.2, len(cells) * (CELL + HEAD), left=0.06)
        for caption, cells in columns
    ]
    return Picture(TITLE, tuple(panels), (), tuple(notes), columns=len(panels))


def _column(cells: Sequence[Cell]) -> Draw:
    def draw(axes: Axes) -> None:
        height = len(cells) * (CELL + HEAD)
        axes.set(xlim=(0, CELL), ylim=(height, 0), xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        for row, cell in enumerate(cells):
            top = row * (CELL + HEAD) + HEAD
            axes.text(0, top - GAP, cell.words, size=6.5, va="bottom")
            if cell.image is not None:
                place = (0, CELL, top + CELL - GAP, top)
                axes.imshow(_shown(cell), extent=place, interpolation="nearest", aspect="auto")
        axes.set(xlim=(0, CELL), ylim=(height, 0))

    return draw


def _shown(cell: Cell) -> np.ndarray:
    assert cell.image is not None
    colour = np.repeat(cell.image, 3, axis=2) if cell.image.shape[2] == 1 else cell.image
    if cell.heat is None:
        return colour
    heat = matplotlib.colormaps["turbo"](cell.heat)[..., :3]
    made: np.ndarray = (1 - HEAT) * colour / 255 + HEAT * heat
    return made
