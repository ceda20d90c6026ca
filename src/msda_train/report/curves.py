"""Learning curves: test error and training loss by epoch, one colour per method, one thin line per seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from msda_train.report.history import Epoch, thinned
from msda_train.report.looks import Look
from msda_train.report.markup import Markup, join, tag
from msda_train.report.svg import (
    Drawing,
    Point,
    Scale,
    at,
    line,
    polyline,
    scale_around,
    shape,
    text,
    y_axis,
)

WIDTH, HEIGHT = 400.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 28.0, 40.0
_POINTS_WITH_SHAPE = 6

Value = Callable[[Epoch], float | None]


@dataclass(frozen=True)
class Curve:
    """One method config over its seeds."""

    label: str
    look: Look
    seeds: tuple[tuple[Epoch, ...], ...]


@dataclass(frozen=True)
class Panel:
    title: str
    value: Value


def _percent(epoch: Epoch) -> float | None:
    return None if epoch.error is None else 100 * epoch.error


PANELS = (
    Panel("test error, %", _percent),
    Panel("training loss", lambda epoch: epoch.train_loss),
)


def curve_panel(curves: Sequence[Curve], panel: Panel, points: int = 160) -> Drawing | None:
    """One panel with at most `points` epochs of each seed; None where no epoch holds the value."""
    lines = [(curve, [_points(seed, panel.value, points) for seed in curve.seeds]) for curve in curves]
    known = [point for _, seeds in lines for seed in seeds for point in seed]
    if not known:
        return None
    last = max(epoch for epoch, _ in known)
    first = min(1.0, *(epoch for epoch, _ in known)) if len(known) > 1 else known[0][0]
    x = Scale(first, max(last, first + 1), _LEFT, WIDTH - _RIGHT)
    y = scale_around(_shown([value for _, value in known]), HEIGHT - _BOTTOM, _TOP, 1e-3)
    marks = [
        y_axis(y, _LEFT, WIDTH - _LEFT - _RIGHT, panel.title),
        _epochs(x),
        *(_seeds(curve, seeds, x, y) for curve, seeds in lines),
        *(_mean(curve, seeds, x, y) for curve, seeds in lines),
    ]
    return Drawing(WIDTH, HEIGHT, join(marks))


def _epochs(x: Scale) -> Markup:
    """The epoch axis: whole numbers only."""
    y = HEIGHT - _BOTTOM
    parts = [line((_LEFT, y), (WIDTH - _RIGHT, y), "axis")]
    for value, words in x.ticks(8):
        if value == int(value):
            parts.append(text((x(value), y + 15), words.split(".")[0], "tick", "middle"))
    parts.append(text(((x.start + x.end) / 2, y + 31), "epoch", "title", "middle"))
    return join(parts)


def _points(epochs: Sequence[Epoch], value: Value, most: int) -> list[Point]:
    found = [(epoch.epoch, value(epoch)) for epoch in epochs]
    return thinned([(x, y) for x, y in found if y is not None], most)


def _shown(values: list[float]) -> list[float]:
    """Both ends, without the few values that would flatten all others: a first epoch may be a hundred times
    the rest. They are drawn at the border."""
    ordered = sorted(values)
    low, usual, high = ordered[0], ordered[int(0.98 * (len(ordered) - 1))], ordered[-1]
    flattens = len(ordered) >= 50 and high - low > 5 * (usual - low)
    return [low, usual if flattens else high]


def _seeds(curve: Curve, seeds: Sequence[Sequence[Point]], x: Scale, y: Scale) -> Markup | None:
    if len(seeds) < 2:
        return None
    return join([polyline([(x(a), y(b)) for a, b in seed], f"seed m{curve.look.colour}") for seed in seeds])


def _mean(curve: Curve, seeds: Sequence[Sequence[Point]], x: Scale, y: Scale) -> Markup | None:
    """The mean over the seeds at the epochs that all of them have, with a shape here and there."""
    tables = [dict(seed) for seed in seeds if seed]
    if not tables:
        return None
    shared = [epoch for epoch in tables[0] if all(epoch in table for table in tables)]
    places = [(x(epoch), y(fmean(table[epoch] for table in tables))) for epoch in shared]
    classes = f"mean m{curve.look.colour} d{curve.look.shape}"
    some = thinned(places, _POINTS_WITH_SHAPE)
    return join(
        polyline(places, classes),
        [shape(curve.look.shape, place, f"dot m{curve.look.colour}") for place in some],
    )


def sample(look: Look) -> Drawing:
    """What a curve looks like, for a legend."""
    marks = polyline([(1, 8), (35, 8)], f"mean m{look.colour} d{look.shape}")
    return Drawing(36, 16, join(marks, shape(look.shape, (18, 8), f"dot m{look.colour}")))


def legend_in_page(curves: Sequence[Curve]) -> Markup:
    """A list that wraps as the page wants."""
    items = []
    for curve in curves:
        drawn = tag(
            "svg", sample(curve.look).marks, viewBox="0 0 36 16", class_="plot sample", aria_hidden="true"
        )
        items.append(tag("li", drawn, " ", curve.label))
    return tag("ul", items, class_="legend")


def legend_in_file(curves: Sequence[Curve], width: float) -> Drawing:
    """The same within a drawing of that width; the width of words is a guess on the safe side."""
    parts, x, y = [], 0.0, 0.0
    for curve in curves:
        needed = 44 + 7.2 * len(curve.label)
        if x and x + needed > width:
            x, y = 0.0, y + 20
        parts.append(at(x, y, sample(curve.look).marks, text((42, 12), curve.label)))
        x += needed + 14
    return Drawing(width, y + 20, join(parts))
