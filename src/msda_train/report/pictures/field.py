"""A probability over a plane in shades of one colour, which are shades of grey in print; its 0.5 line; and
points of two classes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from msda_train.report.looks import Look
from msda_train.report.markup import Markup, join, tag
from msda_train.report.pictures.lines import BOTTOM, LEFT, RIGHT, TOP
from msda_train.report.svg import Drawing, Point, Scale, number, shape, x_axis, y_axis

SHADES = 8  # classes h1..h7 of plot.css; 0 is the paper
CLASSES = (Look(0, 0), Look(0, 1))  # circle and square, in ink
WIDTH, HEIGHT = 272.0, 280.0


def field_panel(
    p: np.ndarray,
    across: Sequence[float],
    up: Sequence[float],
    points: Sequence[Point],
    labels: Sequence[int],
    titles: tuple[str, str],
) -> Drawing:
    """p (len(up), len(across)) in [0, 1]; `across` and `up` rise evenly; labels 0 or 1."""
    x = Scale(across[0], across[-1], LEFT, WIDTH - RIGHT)
    y = Scale(up[0], up[-1], HEIGHT - BOTTOM, TOP)
    inside = [
        (place, label)
        for place, label in zip(points, labels, strict=True)
        if x.low <= place[0] <= x.high and y.low <= place[1] <= y.high
    ]
    return Drawing(
        WIDTH,
        HEIGHT,
        join(
            x_axis(x, y.start, y.start - y.end, titles[0]),
            y_axis(y, LEFT, WIDTH - LEFT - RIGHT, titles[1]),
            _shades(p, across, up, x, y),
            _level(p, across, up, x, y),
            [
                shape(CLASSES[label].shape, (x(a), y(b)), "point m0" if label else "dot m0", 2.2)
                for (a, b), label in inside
            ],
        ),
    )


def _shades(p: np.ndarray, across: Sequence[float], up: Sequence[float], x: Scale, y: Scale) -> list[Markup]:
    """A path for each shade: runs of neighbouring cells of a row as one rectangle."""
    shades = np.clip((p * SHADES).astype(int), 0, SHADES - 1)
    columns, rows = _edges(across, x), _edges(up, y)
    paths: dict[int, list[str]] = {}
    for row, of_row in enumerate(shades):
        starts = [0, *(np.flatnonzero(np.diff(of_row)) + 1).tolist(), len(of_row)]
        for first, end in pairwise(starts):
            a, b, top, bottom = columns[first], columns[end], rows[row + 1], rows[row]
            box = f"M{number(a)} {number(top)}H{number(b)}V{number(bottom)}H{number(a)}z"
            paths.setdefault(int(of_row[first]), []).append(box)
    return [tag("path", d="".join(d), class_=f"h{shade}") for shade, d in sorted(paths.items()) if shade]


def _edges(values: Sequence[float], scale: Scale) -> list[float]:
    """Where the cells around the values begin and end; whole pixels, or seams would shine through."""
    middles = [(a + b) / 2 for a, b in pairwise(values)]
    return [round(scale(value)) for value in (values[0], *middles, values[-1])]


def _level(p: np.ndarray, across: Sequence[float], up: Sequence[float], x: Scale, y: Scale) -> Markup:
    """Where p is 0.5, by linear interpolation along the sides of each cell."""
    pieces = []
    for row in range(len(up) - 1):
        for column in range(len(across) - 1):
            ends = _crossings(p, row, column)
            for (r0, c0), (r1, c1) in zip(ends[::2], ends[1::2], strict=False):
                a, b = ((x(_at(across, c)), y(_at(up, r))) for r, c in ((r0, c0), (r1, c1)))
                pieces.append(f"M{number(a[0])} {number(a[1])}L{number(b[0])} {number(b[1])}")
    return tag("path", d="".join(pieces) or "M0 0", class_="level")


def _crossings(p: np.ndarray, row: int, column: int) -> list[tuple[float, float]]:
    """(row, column) where the border of a cell meets 0.5, in order around the cell."""
    corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
    found = []
    for (r0, c0), (r1, c1) in zip(corners, corners[1:] + corners[:1], strict=True):
        a, b = p[r0, c0] - 0.5, p[r1, c1] - 0.5
        if (a < 0) != (b < 0):
            share = float(a / (a - b))
            found.append((r0 + share * (r1 - r0), c0 + share * (c1 - c0)))
    return found


def _at(values: Sequence[float], place: float) -> float:
    first = min(int(place), len(values) - 2)
    return values[first] + (place - first) * (values[first + 1] - values[first])
