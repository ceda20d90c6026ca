"""What a GAN generates as it learns, as mixup's Figure 5 shows it (arXiv:1710.09412): a row for each method,
a column for each iteration."""

import base64
import binascii
import json
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from msda_train.config.build import build
from msda_train.config.untrusted import buildable
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.records.rows import Row
from msda_train.reporting.draw import plain_words
from msda_train.reporting.history import LARGEST_FILE

KIND = "gan"
POINTS = 1_000
LOST = 0.5  # share of generated points that a panel does not show, from which on it says so
BEYOND = 0.25  # how far a panel reaches beyond the real points, as in the authors' code
_INK = _REAL = "#1b1f24"
_MADE, _GREY = "#d1495b", "#57606a"
_SIDE, _GAP, _LEFT, _HEAD = 1.4, 0.06, 0.75, 0.56  # inches: a panel, between two, the labels, above a block
_LABEL = 16  # letters of a line of a label
NOTE = (
    "Black: real points. Red: generated ones. The first seed of each method; iterations are counted from 0."
)

Snapshots = Mapping[int, np.ndarray]  # iteration to generated points (N, 2)


def snapshots_figure(lines: DataFrame) -> Figure:
    """Of the first seed of each line of `lines_frame` that kept snapshots. UserError where there is none."""
    groups = lines.groupby(["block", "words"])
    shown = [(words, rows) for (_, words), block in groups if (rows := _with_snapshots(block))]
    if not shown:
        raise UserError("these runs kept no snapshots; train with recipe.snapshots=[10,100,1000]")
    iterations = sorted({iteration for _, rows in shown for _, _, kept in rows for iteration in kept})
    height = sum(_HEAD + len(rows) * (_SIDE + _GAP) for _, rows in shown) + 0.55
    figure = Figure(figsize=(_LEFT + len(iterations) * (_SIDE + _GAP) + 0.1, height))
    top = 0.1
    for words, rows in shown:
        _words(figure, 0.1, top, words)
        top += _HEAD
        titled = set()
        for label, row, kept in rows:
            for column, iteration in enumerate(iterations):
                if iteration not in kept:
                    continue
                axes = _axes(figure, _LEFT + column * (_SIDE + _GAP), top)
                _draw(axes, _real(row), kept[iteration])
                if iteration not in titled:
                    titled.add(iteration)
                    axes.set_title(f"{iteration:,}", pad=3)
                if iteration == min(kept):
                    axes.set_ylabel("\n".join(textwrap.wrap(plain_words(label), _LABEL)[:4]))
            top += _SIDE + _GAP
        top += 0.06
    _words(figure, 0.1, top, NOTE)
    return figure


def snapshots(row: Row) -> Snapshots:
    """Those of the row's file; none where it holds none that can be read."""
    try:
        if row.path.stat().st_size > LARGEST_FILE:
            return {}
        epochs = json.loads(row.path.read_bytes())["history"]
        told = [item for epoch in epochs for item in epoch.get("snapshots", {}).items()]
        return {int(iteration): _unpacked(text) for iteration, text in told}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        return {}


def _unpacked(text: str) -> np.ndarray:
    """See `training.gan.packed`; points that no float16 can hold are left out."""
    points = np.frombuffer(base64.b64decode(text, validate=True), "<f2").reshape(-1, 2)
    finite: np.ndarray = points[np.isfinite(points).all(axis=1)]
    return finite.astype(np.float32)


def _with_snapshots(block: DataFrame) -> list[tuple[str, Row, Snapshots]]:
    firsts = [(method, rows[0]) for method, rows in zip(block["method"], block["rows"], strict=True)]
    found = [(f"{method} seed {row.seed}", row, snapshots(row)) for method, row in firsts]
    return [each for each in found if each[2]]


def _real(row: Row) -> np.ndarray:
    """As many real points as there are generated ones, of the row's own distribution."""
    try:
        data = build("dataset", buildable("dataset", row.config["dataset"]), needed="points")
    except UserError as error:
        raise UserError(f"{row.path}: {error}") from None
    points: np.ndarray = data.points(generator(row.seed, "shown"), POINTS)
    return points


def _draw(axes: Axes, real: np.ndarray, made: np.ndarray) -> None:
    low, high = real.min() - BEYOND, real.max() + BEYOND
    axes.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.plot(*real.T, ls="none", marker=".", ms=2, mew=0, color=_REAL, rasterized=True, label="_real")
    look: dict[str, Any] = {"marker": ".", "ms": 3, "mew": 0, "alpha": 0.35, "color": _MADE}
    axes.plot(*made.T, ls="none", rasterized=True, label="_generated", **look)
    outside = float(((made < low) | (made > high)).any(axis=1).mean())
    if outside >= LOST:
        words = f"{100 * outside:.0f} % outside"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        axes.text(0.5, 0.04, words, transform=axes.transAxes, ha="center", size=7.5, color=_INK, bbox=box)


def _axes(figure: Figure, left: float, top: float) -> Axes:
    width, height = map(float, figure.get_size_inches())
    box = (left / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height)
    axes: Axes = figure.add_axes(box)
    return axes


def _words(figure: Figure, left: float, top: float, words: str) -> None:
    width, height = map(float, figure.get_size_inches())
    lines = textwrap.wrap(plain_words(words, 600), int((width - 0.2) / 0.075))[:2]
    figure.text(left / width, 1 - top / height, "\n".join(lines), va="top", size=7.5, color=_GREY)
