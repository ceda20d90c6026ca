"""A probability over a plane in shades of one colour, which are shades of grey in print; its 0.5 line; and
points of two classes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from msda_train.reporting.pictures.picture import Draw

SHADES = 8
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#2a83bd"], N=SHADES)
_INK = "#1b1f24"


def field_panel(
    p: np.ndarray,
    across: np.ndarray,
    up: np.ndarray,
    points: np.ndarray,
    labels: np.ndarray,
    titles: tuple[str, str],
) -> Draw:
    """p (len(up), len(across)) in [0, 1]; `across` and `up` rise; points (N, 2); labels 0 or 1."""

    def draw(axes: Axes) -> None:
        axes.grid(False)
        axes.contourf(across, up, p, levels=np.linspace(0, 1, SHADES + 1), cmap=_SHADES)
        axes.contour(across, up, p, levels=[0.5], colors=_INK, linewidths=1)
        for label, marker, face in ((0, "o", _INK), (1, "s", "white")):
            x, y = np.asarray(points)[np.asarray(labels) == label].T
            axes.plot(
                x, y, ls="none", marker=marker, ms=2.6, mfc=face, mec=_INK, mew=0.6, label=f"_class {label}"
            )
        axes.set(xlim=(across[0], across[-1]), ylim=(up[0], up[-1]), xlabel=titles[0], ylabel=titles[1])

    return draw
