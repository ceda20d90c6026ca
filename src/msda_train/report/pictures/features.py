"""Hidden features of two classes and of blends between them, in the plane of their two main directions."""

from collections.abc import Sequence

import numpy as np

from msda_train.report.history import thinned
from msda_train.report.markup import Markup, join
from msda_train.report.pictures.data import Arrays, Probed
from msda_train.report.pictures.lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from msda_train.report.pictures.picture import Panel
from msda_train.report.svg import Drawing, Scale, scale_around, shape, x_axis, y_axis

PROBE = "in_between"
SHOWN = 60  # of each class, and of the blends
NOTES = (
    "Filled circles: test images of one class; hollow squares: of the other; triangles: mixup blends of the "
    "two. The main directions are those of the unmixed images; first seed.",
)
# Class, shape and size of blends, of lam 0 and of lam 1; the images themselves are drawn above the blends.
_GROUPS = (("point m2", 2, 2.8), ("point m0", 1, 2.8), ("dot m0", 0, 3.2))


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each method that has the coordinates."""
    made = []
    for method in methods:
        drawings = (drawing for arrays in method.arrays(PROBE) if (drawing := _drawing(arrays)))
        first = next(drawings, None)
        if first:
            made.append(Panel(method.label, first))
    return made


def legend(methods: Sequence[Probed]) -> tuple[()]:
    """None: the shapes are explained in words."""
    return ()


def _drawing(arrays: Arrays) -> Drawing | None:
    places, lam = arrays.get("pca"), arrays.get("pca_lam")
    if places is None or lam is None or places.ndim != 2 or places.shape != (*lam.shape, 2):
        return None
    x = scale_around(places[:, 0].tolist(), LEFT, WIDTH - RIGHT, 1e-9)
    y = scale_around(places[:, 1].tolist(), HEIGHT - BOTTOM, TOP, 1e-9)
    groups = (places[(lam > 0) & (lam < 1)], places[lam == 0], places[lam == 1])
    return Drawing(
        WIDTH,
        HEIGHT,
        join(
            x_axis(x, y.start, y.start - y.end, "first main direction"),
            y_axis(y, LEFT, WIDTH - LEFT - RIGHT, "second main direction"),
            [_marks(group, *look, x, y) for group, look in zip(groups, _GROUPS, strict=True)],
        ),
    )


def _marks(group: np.ndarray, class_: str, kind: int, size: float, x: Scale, y: Scale) -> Markup:
    places = thinned(group.tolist(), SHOWN)
    return join([shape(kind, (x(a), y(b)), class_, size) for a, b in places])
