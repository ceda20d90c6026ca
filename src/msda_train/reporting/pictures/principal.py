"""Blends of two images among the images of their classes, in the plane of two principal components."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from msda_train.reporting.draw import Look
from msda_train.reporting.pictures.lines import Axis
from msda_train.reporting.pictures.picture import Draw, Panel, Picture

TITLE = "Blends of two images on the first principal components of their classes"
NOTES = (
    "Small circles: training images of the one class; small squares: of the other. Large filled circle and "
    "large square: the two images that are mixed; triangles: what the method makes of them, drawn again and "
    "again. The components are those of the unmixed pixels. Below, some of the blends.",
)
WIDTH, HEIGHT = 3.6, 2.9
MOST_COLUMNS = 2
CLOUD = 400  # images of a class that are drawn
_PALE, _INK = "#a9b1bc", "#1b1f24"

Arrays = Mapping[str, np.ndarray]


def principal_picture(
    plane: Arrays, names: tuple[str, str], methods: Sequence[tuple[str, Look, Arrays]]
) -> Picture:
    """Of `evaluation.principal_plane`: the plane with the names of its classes and, of each method, caption,
    look and blends. A column for each method, the pictures of its blends below."""
    columns = min(len(methods), MOST_COLUMNS)
    panels: list[Panel] = []
    for start in range(0, len(methods), columns):
        row = methods[start : start + columns]
        panels += [
            Panel(f"{caption}: {names[0]} and {names[1]}", _cloud(plane, look, found), WIDTH, HEIGHT)
            for caption, look, found in row
        ]
        panels += [Panel("", _strip(found["shown"]), WIDTH, 0.62) for _, _, found in row]
    return Picture(TITLE, tuple(panels), (), NOTES, columns=columns)


def _cloud(plane: Arrays, look: Look, found: Arrays) -> Draw:
    places, labels = plane["places"], plane["labels"]
    ends = places[plane["ends"]]
    everything = np.concatenate([places, found["places"]])

    def draw(axes: Axes) -> None:
        for k, (name, set_axis) in enumerate((("first", "x"), ("second", "y"))):
            title = f"{name} component, {100 * plane['share'][k]:.0f} % of the variance"
            Axis(title).apply(axes, set_axis, everything[:, k].tolist())
        for label, marker, face in ((0, "o", _PALE), (1, "s", "none")):
            x, y = places[labels == label][:CLOUD].T
            axes.plot(x, y, ls="none", marker=marker, ms=2.4, mfc=face, mec=_PALE, mew=0.5, label="_cloud")
        x, y = found["places"].T
        axes.plot(x, y, ls="none", marker="^", ms=3.6, mfc="none", mec=look.colour, mew=0.8, label="_blends")
        for (x, y), marker, face in zip(ends, "os", (_INK, "white"), strict=True):
            axes.plot([x], [y], ls="none", marker=marker, ms=7, mfc=face, mec=_INK, mew=1.2, label="_image")

    return draw


def _strip(shown: np.ndarray) -> Draw:
    """The pictures side by side, from little of the first image to much of it."""

    def draw(axes: Axes) -> None:
        count, height, width, channels = shown.shape
        gap = max(1, width // 12)
        sheet = np.full((height, count * (width + gap) - gap, channels), 255, dtype=np.uint8)
        for k, image in enumerate(shown):
            sheet[:, k * (width + gap) : k * (width + gap) + width] = image
        axes.imshow(
            sheet[..., 0] if channels == 1 else sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest"
        )
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("from the second image to the first")

    return draw
