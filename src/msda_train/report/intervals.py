"""Published numbers against ours, one below the other on one scale: interval, mean, and every seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from msda_train.report.looks import Look
from msda_train.report.markup import Markup, join
from msda_train.report.svg import Drawing, Scale, box, line, scale_around, shape, text, x_axis
from msda_train.results.published import Cell
from msda_train.results.verdict import CONFIDENCE, rounding

WIDTH = 400.0
_EDGE = 14.0  # room for half a tick's words at both ends


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
        from scipy.special import stdtrit  # a quarter of a second that a report without seeds saves

        half = float(stdtrit(len(self.ours) - 1, (1 + CONFIDENCE) / 2))
        half *= stdev(self.ours) / math.sqrt(len(self.ours))
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


def printed_interval(cell: Cell) -> tuple[float, float, float]:
    """Value ± the printed spread, else the values that would be printed the same."""
    half = cell.std or cell.spread or rounding(cell)
    return cell.value - half, cell.value, cell.value + half


def interval_plot(
    entries: Sequence[Entry], title: str, *, least: float = 0.5, width: float = WIDTH
) -> Drawing:
    """`title` names the axis; `least` is the width of the axis where all values are nearly equal."""
    bottom = sum(map(_height, entries)) + 4
    values = [value for entry in entries for value in entry.extent]
    scale = scale_around(values, _EDGE, width - _EDGE, least)
    parts = [x_axis(scale, bottom, bottom, title)]
    y = 0.0
    for entry in entries:
        parts.append(_entry(entry, scale, y))
        y += _height(entry)
    return Drawing(width, bottom + 38, join(parts))


def _height(entry: Entry) -> float:
    return 24 + 14 * (entry.published is not None) + 26 * bool(entry.ours)


def _entry(entry: Entry, scale: Scale, top: float) -> Markup:
    colour = f"m{entry.look.colour}"
    parts = [text((_EDGE, top + 14), _short(entry.label), "head")]
    y = top + 25
    if entry.published:
        low, value, high = map(scale, entry.published)
        parts += [
            box((low, y - 5), high - low, 10, "spread"),
            line((value, y - 6), (value, y + 6), "printed"),
        ]
        y += 15
    if entry.ours:
        parts += _ours(entry, scale, y, colour)
    return join(parts)


def _ours(entry: Entry, scale: Scale, y: float, colour: str) -> list[Markup]:
    parts = []
    if entry.interval:
        low, high = map(scale, entry.interval)
        middle = scale(fmean(entry.ours))
        parts.append(line((low, y), (high, y), f"ours {colour}"))
        parts += [
            _end(edge, value, scale, y, colour)
            for edge, value in zip((low, high), entry.interval, strict=True)
        ]
        parts.append(line((middle, y - 7), (middle, y + 7), f"centre {colour}"))
        y += 10
    for k, value in enumerate(entry.ours):
        # Seeds that agree would hide each other: every second one stands a little lower.
        parts.append(shape(entry.look.shape, (scale(value), y + 4 * (k % 2)), f"point {colour}", 3.5))
    return parts


def _end(edge: float, value: float, scale: Scale, y: float, colour: str) -> Markup:
    """A cross-bar, or an arrow head where the interval goes on beyond the plot."""
    if scale.low <= value <= scale.high:
        return line((edge, y - 4), (edge, y + 4), f"ours {colour}")
    out = 5 if value > scale.high else -5
    return join(
        line((edge, y - 5), (edge + out, y), f"mean {colour}"),
        line((edge, y + 5), (edge + out, y), f"mean {colour}"),
    )


def _short(words: str) -> str:
    return words if len(words) <= 56 else f"{words[:55]}…"
