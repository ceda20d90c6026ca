"""Published numbers against ours, one below the other on one scale: interval, mean, and every seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from matplotlib.axes import Axes

from msda_train.comparison.verdict import half_width, rounding
from msda_train.records.published import Cell
from msda_train.reporting.draw import Look
from msda_train.reporting.pictures.dots import head
from msda_train.reporting.pictures.lines import Axis, mark
from msda_train.reporting.pictures.picture import WIDTH, Panel


@dataclass(frozen=True)
class Entry:
    """One line of a plot. `published` is (low, value, high); `ours` one number per seed, in the same unit."""

    label: str
    look: Look
    ours: tuple[float, ...] = ()
    published: tuple[float, float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 90 % interval of our mean; None below two seeds."""
        if len(self.ours) < 2:
            return None
        half = half_width(stdev(self.ours), len(self.ours))
        return fmean(self.ours) - half, fmean(self.ours) + half

    @property
    def extent(self) -> tuple[float, ...]:
        """The values the scale has to show. The interval of two seeds can be twelve times their distance: it
        may run out at the border, seeds and published number may not."""
        low, high = self.interval or (math.nan, math.nan)
        shown = (*self.ours, *(self.published or ()))
        span = max(shown) - min(shown) if shown else 0.0
        middle = fmean(self.ours) if self.ours else 0.0
        near = tuple(edge for edge in (low, high) if abs(edge - middle) <= 2 * span)
        return (*shown, *near)

    @property
    def height(self) -> float:
        """Inches."""
        return 0.24 + 0.13 * (self.published is not None) + 0.26 * bool(self.ours)


def printed_interval(cell: Cell) -> tuple[float, float, float]:
    """Value ± the printed spread, else the values that would be printed the same."""
    half = cell.std or cell.spread or rounding(cell)
    return cell.value - half, cell.value, cell.value + half


def interval_panel(
    caption: str, entries: Sequence[Entry], title: str, *, least: float = 0.5, width: float = WIDTH
) -> Panel:
    """`title` names the axis; `least` is its width where all values are nearly equal."""
    values = [value for entry in entries for value in entry.extent] or [0.0]
    height = sum(entry.height for entry in entries) + 0.04

    def draw(axes: Axes) -> None:
        axes.set(ylim=(height, 0), yticks=[])
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        Axis(title, least=least).apply(axes, "x", values)
        top = 0.0
        for entry in entries:
            _entry(axes, entry, top)
            top += entry.height

    return Panel(caption, draw, width=width, height=height, left=0.14)


def _entry(axes: Axes, entry: Entry, top: float) -> None:
    head(axes, top + 0.15, entry.label)
    y = top + 0.26
    if entry.published:
        low, value, high = entry.published
        axes.barh(y, high - low, left=low, height=0.1, color="#c9ced6", lw=0, label="_spread")
        axes.plot([value] * 2, [y - 0.055, y + 0.055], color="#1b1f24", lw=1.5, label="_published")
        y += 0.14
    if not entry.ours:
        return
    if entry.interval:
        _interval(axes, entry.interval, fmean(entry.ours), y, entry.look.colour)
        y += 0.1
    # Seeds that agree would hide each other: every second one stands a little lower.
    places = [(value, y + 0.04 * (k % 2)) for k, value in enumerate(entry.ours)]
    mark(axes, entry.look, places, size=4.5, hollow=True, name="point")


def _interval(axes: Axes, interval: tuple[float, float], mean: float, y: float, colour: str) -> None:
    """A bar with a cross-bar at each end, or an arrow head where it goes on beyond the plot."""
    low, high = axes.get_xlim()
    inside = [min(max(edge, low), high) for edge in interval]
    axes.plot(inside, [y, y], color=colour, lw=2, solid_capstyle="butt", label="_interval")
    for edge, shown, arrow in zip(interval, inside, "<>", strict=True):
        beyond = edge != shown
        axes.plot(shown, y, color=colour, marker=arrow if beyond else "|", ms=6, mew=1.5, clip_on=not beyond)
    axes.plot([mean] * 2, [y - 0.06, y + 0.06], color=colour, lw=2, solid_capstyle="butt", label="_mean")
