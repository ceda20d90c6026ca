"""What a method does to a decision boundary: points of a plane in place of images."""

from collections.abc import Mapping, Sequence

import numpy as np

from msda_train.reporting.pictures.field import field_panel
from msda_train.reporting.pictures.picture import Panel, Picture

TITLE = "Decision boundaries of points in a plane"
NOTES = (
    "Shade: probability of class 1 (pale 0, strong 1); line: 0.5. Filled circles: class 0, hollow squares: "
    "class 1.",
)
MOST_COLUMNS = 3
# Probability, its axes, the points; words for the panel and its axes.
_POINTS = ("p", "axis", "axis", "points"), ("points", "first coordinate", "second coordinate")
_HIDDEN = (
    ("hidden_p", "hidden_across", "hidden_up", "hidden"),
    ("hidden plane", "first hidden unit", "second hidden unit"),
)

Toy = tuple[str, Mapping[str, np.ndarray]]


def boundary_picture(toys: Sequence[Toy]) -> Picture:
    """Of each (caption, arrays of `evaluation.decision_boundary.toy`) the points and the hidden plane: a
    column for each method, or, where they are many, a row."""
    if len(toys) <= MOST_COLUMNS:
        panels = [_panel(toy, *plane) for plane in (_POINTS, _HIDDEN) for toy in toys]
        return Picture(TITLE, tuple(panels), (), NOTES, columns=len(toys))
    panels = [_panel(toy, *plane) for toy in toys for plane in (_POINTS, _HIDDEN)]
    return Picture(TITLE, tuple(panels), (), NOTES, columns=2)


def _panel(toy: Toy, names: tuple[str, str, str, str], words: tuple[str, str, str]) -> Panel:
    caption, arrays = toy
    p, across, up, points = (arrays[name] for name in names)
    draw = field_panel(p, across, up, points, arrays["labels"], words[1:])
    return Panel(f"{caption}, {words[0]}", draw, width=2.9, height=2.14)
