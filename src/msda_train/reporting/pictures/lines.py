"""A panel of lines: a colour, dash and marker per method, the mean over seeds thick, each seed thin."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as PlotAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from msda_train.reporting.draw import Look, plain_words
from msda_train.reporting.history import thinned
from msda_train.reporting.pictures.picture import Draw

Point = tuple[float, float]
MOST_POINTS = 64  # of one line
_MARKERS, _MARKERS_OF_BARS = 9, 6  # along one line
_AIR = 0.06  # of the axis, beyond the values
LINES_ONLY = frozenset("1234+x|_")  # markers without an inside


@dataclass(frozen=True)
class Axis:
    """Its title with the unit; the ends are those of the values, with some air, where they are not given.

    scale: linear; log; root, on which 1 % can be seen beside 80 % and none lies at 0; whole, linear with
    whole numbers only. robust: few values that would flatten all others are drawn at the border.
    """

    title: str
    low: float | None = None
    high: float | None = None
    least: float = 1e-9  # width, where all values are nearly equal
    scale: str = "linear"
    robust: bool = False

    def ends(self, values: Iterable[float]) -> tuple[float, float]:
        """Where the axis begins and ends, to show `values`."""
        ordered = sorted(values)
        low, high = ordered[0], self._highest(ordered)
        if self.scale == "log":
            air = (high / low) ** (_AIR / 2) if low > 0 else 1.0
            made = low / air, high * air
        else:
            width = max(high - low, self.least)
            middle, half = (low + high) / 2, (0.5 + _AIR) * width
            made = middle - half, middle + half
        low = made[0] if self.low is None else self.low
        high = made[1] if self.high is None else self.high
        return low, max(high, low + self.least)

    def _highest(self, ordered: Sequence[float]) -> float:
        """A first epoch may be a hundred times the rest."""
        low, usual, high = ordered[0], ordered[int(0.98 * (len(ordered) - 1))], ordered[-1]
        flattens = self.robust and len(ordered) >= 50 and high - low > 5 * (usual - low)
        return usual if flattens else high

    def apply(self, axes: Axes, which: str, values: Iterable[float]) -> None:
        """Title, ends, scale and ticks of the x or the y axis."""
        low, high = self.ends(values)
        axis: PlotAxis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_label_text(plain_words(self.title, 60))
        if self.scale == "log":
            axes.set(**{f"{which}scale": "log"})
            _log_ticks(axis, low, high)
        elif self.scale == "root":
            scale = axes.set_xscale if which == "x" else axes.set_yscale
            scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
            axis.set_major_locator(FixedLocator([0.0, *_round_shares(high)]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            high *= 1.08
        else:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=self.scale == "whole"))
        axes.set(**{f"{which}lim": (low, high)})


def _log_ticks(axis: PlotAxis, low: float, high: float) -> None:
    """Powers of ten; where they are too few, 2 and 5 times them, too."""
    few = np.log10(high / low) < 2
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _round_shares(high: float) -> list[float]:
    """Round values whose roots are far enough from each other for their words."""
    found: list[float] = []
    for share in (0.02, 0.1, 0.3, 0.6, 1.0):
        power = 10.0 ** np.floor(np.log10(share * high))
        value = max(f * power for f in (1, 2, 5) if f * power <= share * high * (1 + 1e-9))
        if not found or np.sqrt(value / high) - np.sqrt(found[-1] / high) >= 0.12:
            found.append(float(value))
    return found


@dataclass(frozen=True)
class Series:
    """One line. `middle` stands for the mean where that is not the mean at equal x. `step`: width of a bar,
    whose left edges are the points; 0: a line through the points. thin: without markers, for reference."""

    look: Look
    seeds: tuple[tuple[Point, ...], ...]
    middle: tuple[Point, ...] | None = None
    step: float = 0
    thin: bool = False
    filled: bool = False

    @property
    def mean(self) -> tuple[Point, ...]:
        """The mean over seeds at the x that all of them have."""
        if self.middle is not None:
            return self.middle
        tables = [dict(seed) for seed in self.seeds if seed]
        shared = [x for x in tables[0] if all(x in table for table in tables)] if tables else []
        return tuple((x, fmean(table[x] for table in tables)) for x in shared)

    @property
    def points(self) -> list[Point]:
        """Everything that is drawn."""
        return [*self.mean, *(point for seed in self.seeds for point in seed)]


def line_panel(
    series: Sequence[Series],
    x_of: Axis,
    y_of: Axis,
    *,
    ideal: tuple[Point, Point] | None = None,
    marks: Sequence[tuple[Look, Point, bool]] = (),
    most: int = MOST_POINTS,
) -> Draw | None:
    """`ideal`: ends of a dotted straight line. `marks`: large single points, hollow or not. `most`: points of
    one line. None where nothing is to be drawn."""
    points = [point for each in series for point in each.points]
    if not points:
        return None
    xs = [x + side for each in series for x, _ in each.points for side in (0, each.step)]

    def draw(axes: Axes) -> None:
        x_of.apply(axes, "x", xs)
        y_of.apply(axes, "y", [y for _, y in points])
        if ideal:
            axes.plot(*zip(*ideal, strict=True), color="#57606a", lw=0.8, ls=":", label="_ideal")
        for each in sorted(series, key=lambda each: not each.filled):  # an area lies below the lines
            _seeds(axes, each, most)
        for place, each in enumerate(series):
            _mean(axes, each, most, place / len(series))
        for look, point, hollow in marks:
            mark(axes, look, [point], size=8, hollow=hollow)

    return draw


def mark(
    axes: Axes, look: Look, places: Sequence[Point], *, size: float, hollow: bool, name: str = "mark"
) -> None:
    """Markers without a line."""
    lines_only = look.marker in LINES_ONLY
    axes.plot(
        *zip(*places, strict=True),
        ls="none",
        marker=look.marker,
        ms=size,
        color=look.colour,
        mfc="white" if hollow and not lines_only else look.colour,
        mec=look.colour,
        label=f"_{name}",
        zorder=4,
        clip_on=False,
    )


def _seeds(axes: Axes, series: Series, most: int) -> None:
    if series.filled and series.mean:
        x, y = _path(series.mean, series.step, most)
        axes.fill_between(x, y, color="#c9ced6", lw=0, label="_area")
        axes.plot(x, y, color=series.look.colour, lw=0.6)
    elif len(series.seeds) > 1:
        for seed in filter(None, series.seeds):
            axes.plot(
                *_path(seed, series.step, most), color=series.look.colour, lw=0.7, alpha=0.4, label="_seed"
            )


def _mean(axes: Axes, series: Series, most: int, phase: float) -> None:
    """`phase`: where between two markers of the first line those of this one lie, so that none is hidden."""
    points, look = series.mean, series.look
    if not points or series.filled:
        return
    x, y = _path(points, series.step, most)
    (line,) = axes.plot(x, y, color=look.colour, ls=look.line, label="_mean", zorder=3)
    if series.thin:
        line.set_linewidth(0.9)
        return
    # Bars of height 0 need no marker.
    middles = [(a + series.step / 2, b) for a, b in points if b or not series.step]
    some = _some(middles, _MARKERS_OF_BARS if series.step else _MARKERS, phase)
    if some:
        edge = look.colour if look.marker in LINES_ONLY else "white"
        places = zip(*some, strict=True)
        axes.plot(
            *places,
            ls="none",
            marker=look.marker,
            color=look.colour,
            mec=edge,
            mew=0.5,
            label="_dot",
            zorder=3.5,
        )


def _some(points: Sequence[Point], most: int, phase: float) -> list[Point]:
    """All, or about `most` of them, evenly spread."""
    if len(points) <= most:
        return list(points)
    return [points[int((k + phase) * len(points) / most)] for k in range(most)]


def _path(points: Sequence[Point], step: float, most: int) -> tuple[list[float], list[float]]:
    shown = [(a + side, b) for a, b in points for side in (0, step)] if step else thinned(points, most)
    return [a for a, _ in shown], [b for _, b in shown]
