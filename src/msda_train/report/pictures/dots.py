"""Values of methods under conditions that have no order: a row per condition, in it a line per method."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from msda_train.report.looks import Look
from msda_train.report.markup import Markup, join
from msda_train.report.pictures.lines import Axis
from msda_train.report.svg import Drawing, line, shape, text, x_axis

WIDTH = 400.0
_EDGE, _HEAD, _LINE = 10.0, 20.0, 13.0


@dataclass(frozen=True)
class Condition:
    label: str
    values: tuple[tuple[Look, tuple[float, ...]], ...]  # of each method its seeds


def dot_panel(conditions: Sequence[Condition], axis: Axis) -> Drawing | None:
    """The mean over seeds as a bar, every seed as a hollow shape; None where there is nothing to draw."""
    known = [value for each in conditions for _, seeds in each.values for value in seeds]
    if not known:
        return None
    x = axis.over(known, _EDGE, WIDTH - _EDGE)
    parts: list[Markup] = []
    y = 0.0
    for condition in conditions:
        if not any(seeds for _, seeds in condition.values):
            continue
        parts.append(text((_EDGE, y + 13), condition.label, "head"))
        y += _HEAD
        for look, seeds in condition.values:
            if seeds:
                parts.append(_line(look, [x(value) for value in seeds], x(fmean(seeds)), y + _LINE / 2))
                y += _LINE
        y += 4
    return Drawing(WIDTH, y + 42, join(x_axis(x, y + 4, y + 4, axis.title), parts))


def _line(look: Look, seeds: Sequence[float], mean: float, y: float) -> Markup:
    bar = line((mean, y - 6), (mean, y + 6), f"centre m{look.colour}") if len(seeds) > 1 else None
    return join(bar, [shape(look.shape, (x, y), f"point m{look.colour}", 3.5) for x in seeds])
