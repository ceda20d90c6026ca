"""A panel of lines: a colour, dash and shape per method, the mean over seeds thick, each seed thin."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from msda_train.report.history import thinned
from msda_train.report.looks import Look
from msda_train.report.markup import Markup, join, tag
from msda_train.report.svg import (
    Drawing,
    Point,
    Scale,
    line,
    number,
    polyline,
    scale_around,
    shape,
    x_axis,
    y_axis,
)

WIDTH, HEIGHT = 400.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 28.0, 40.0
MOST_POINTS = 64  # of one line
_SHAPES, _SHAPES_OF_BARS = 11, 6  # along one line


@dataclass(frozen=True)
class Axis:
    """Its title with the unit; the ends are those of the values, with some air, where they are not given."""

    title: str
    low: float | None = None
    high: float | None = None
    least: float = 1e-9  # width, where all values are nearly equal
    scale: type[Scale] = Scale

    def over(self, values: Iterable[float], start: float, end: float) -> Scale:
        """The scale that shows `values`."""
        around = scale_around(values, start, end, self.least)
        low = around.low if self.low is None else self.low
        high = around.high if self.high is None else self.high
        return self.scale(low, max(high, low + self.least), start, end)


@dataclass(frozen=True)
class Series:
    """One line. `middle` stands for the mean where that is not the mean at equal x. `step`: width of a bar,
    whose left edges are the points; 0: a line through the points. thin: without shapes, for reference."""

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
    width: float = WIDTH,
    height: float = HEIGHT,
    ideal: tuple[Point, Point] | None = None,
    marks: Sequence[tuple[Look, Point, str]] = (),
) -> Drawing | None:
    """`ideal`: ends of a dotted straight line. `marks`: single points, drawn as the class says. None where
    nothing is to be drawn."""
    points = [point for each in series for point in each.points]
    if not points:
        return None
    ends = [x + each.step for each in series for x, _ in each.points]
    x = x_of.over([*(x for x, _ in points), *ends], LEFT, width - RIGHT)
    y = y_of.over([y for _, y in points], height - BOTTOM, TOP)
    ordered = sorted(series, key=lambda each: not each.filled)  # an area lies below the lines
    return Drawing(
        width,
        height,
        join(
            x_axis(x, y.start, y.start - y.end, x_of.title),
            y_axis(y, LEFT, width - LEFT - RIGHT, y_of.title),
            line((x(ideal[0][0]), y(ideal[0][1])), (x(ideal[1][0]), y(ideal[1][1])), "ideal")
            if ideal
            else None,
            [_seeds(each, x, y) for each in ordered],
            [_mean(each, x, y) for each in ordered],
            [shape(of.shape, (x(a), y(b)), f"{class_} m{of.colour}", 6) for of, (a, b), class_ in marks],
        ),
    )


def _seeds(series: Series, x: Scale, y: Scale) -> Markup | None:
    if len(series.seeds) < 2 or series.filled:
        return None
    lines = [_path(seed, series.step, x, y) for seed in series.seeds if seed]
    return join([polyline(path, f"seed m{series.look.colour}") for path in lines])


def _mean(series: Series, x: Scale, y: Scale) -> Markup | None:
    points = series.mean
    if not points:
        return None
    path, look = _path(points, series.step, x, y), series.look
    drawn = polyline(path, f"{'thin' if series.thin else 'mean'} m{look.colour} d{look.shape}")
    if series.filled:
        drawn = join(_area(path, y.start), polyline(path, f"seed m{look.colour}"))
    if series.thin:
        return drawn
    # Bars of height 0 need no shape.
    middles = [(x(a + series.step / 2), y(b)) for a, b in points if b or not series.step]
    dots = thinned(middles, _SHAPES_OF_BARS if series.step else _SHAPES)
    return join(drawn, [shape(look.shape, place, f"dot m{look.colour}", 3.5) for place in dots])


def _path(points: Sequence[Point], step: float, x: Scale, y: Scale) -> list[Point]:
    if not step:
        return [(x(a), y(b)) for a, b in thinned(points, MOST_POINTS)]
    return [(x(a + side), y(b)) for a, b in points for side in (0, step)]


def _area(path: Sequence[Point], bottom: float) -> Markup:
    corners = [(path[0][0], bottom), *path, (path[-1][0], bottom)]
    return tag("polygon", points=" ".join(f"{number(a)},{number(b)}" for a, b in corners), class_="spread")
