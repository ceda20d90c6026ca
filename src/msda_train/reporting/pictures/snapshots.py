"""What a GAN generates as it learns, as mixup's Figure 5 shows it (arXiv:1710.09412): a row for each method,
a column for each iteration."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from msda_train.comparison.table import Block, Line
from msda_train.config.build import build
from msda_train.config.untrusted import buildable
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.records.rows import Row
from msda_train.reporting.draw import Look
from msda_train.reporting.history import LARGEST_FILE
from msda_train.reporting.pictures.picture import Legend, Panel, Picture

KIND = "gan"
SIDE = 1.5  # inches of a panel's axes
BEYOND = 0.25  # how far a panel reaches beyond the real points, as in the authors' code
POINTS = 1_000
_REAL, _MADE = Look("#1b1f24", ".", ""), Look("#d1495b", ".", "")

Snapshots = Mapping[int, np.ndarray]  # iteration to generated points (N, 2)


def snapshots_picture(block: Block) -> Picture | None:
    """Of the first seed of each line that kept snapshots; None where there is none."""
    found = [
        (line, row, snaps) for line in block.lines if (row := line.rows[0]) and (snaps := snapshots(row))
    ]
    if not found:
        return None
    iterations = sorted({iteration for _, _, snaps in found for iteration in snaps})
    panels = [
        Panel(
            _caption(line, row, k, iteration),
            partial(_draw, _real(row), snaps.get(iteration)),
            width=SIDE,
            height=SIDE,
            left=0.0,
        )
        for line, row, snaps in found
        for k, iteration in enumerate(iterations)
    ]
    legend = (Legend("real points", _REAL), Legend("generated points", _MADE))
    notes = ("The first seed of each method; the numbers are iterations, counted from 0.",)
    return Picture("What the generator makes", tuple(panels), legend, notes, columns=len(iterations))


def snapshots(row: Row) -> Snapshots:
    """Those of the row's file; none where it holds none that can be read."""
    try:
        if row.path.stat().st_size > LARGEST_FILE:
            return {}
        epochs = json.loads(row.path.read_bytes())["history"]
        told = [item for epoch in epochs for item in epoch.get("snapshots", {}).items()]
        found = {int(iteration): _unpacked(text) for iteration, text in told}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        return {}
    return found


def _unpacked(text: str) -> np.ndarray:
    """See `training.gan.packed`; points that no float16 can hold are left out."""
    points = np.frombuffer(base64.b64decode(text, validate=True), "<f2").reshape(-1, 2)
    finite: np.ndarray = points[np.isfinite(points).all(axis=1)]
    return finite.astype(np.float32)


def _real(row: Row) -> np.ndarray:
    try:
        data = build("dataset", buildable("dataset", row.config["dataset"]), needed="points")
    except UserError as error:
        raise UserError(f"{row.path}: {error}") from None
    points: np.ndarray = data.points(generator(row.seed, "shown"), POINTS)
    return points


def _caption(line: Line, row: Row, column: int, iteration: int) -> str:
    label = f"{line.method}, seed {row.seed}" if len(line.rows) > 1 else line.method
    return f"{label}: {iteration:,}" if column == 0 else f"{iteration:,}"


def _draw(real: np.ndarray, made: np.ndarray | None, axes: Axes) -> None:
    low, high = real.min() - BEYOND, real.max() + BEYOND
    axes.grid(False)
    axes.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[])
    shown: Sequence[tuple[np.ndarray, Look, float, float]] = [(real, _REAL, 1.0, 1.5)]
    if made is not None:
        shown = [*shown, (made, _MADE, 0.3, 2.5)]
    for points, look, alpha, size in shown:
        axes.plot(
            *points.T, ls="none", marker=".", ms=size, color=look.colour, alpha=alpha, mew=0, rasterized=True
        )
