"""Error against cost, as tables and as a picture: `msda-table frontier`, and the report."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from pandas import DataFrame, Series, isna

from msda_train.comparison.frontier import COSTS, groups_of
from msda_train.reporting.draw import Look, looks
from msda_train.reporting.grid import Grid
from msda_train.reporting.number_words import many, stat_words
from msda_train.reporting.pictures.lines import Axis, mark
from msda_train.reporting.pictures.picture import Legend, Panel, Picture

NOTE = (
    "On the frontier: no line of the table is at least as cheap and has a smaller mean error. Perhaps: the "
    "90 % interval of its mean reaches down to the smallest of these."
)
_DRAWN = (
    "Lines: 90 % interval of the mean over seeds. Grey: the frontier; nothing is below and left of it. "
    "Hollow: off the frontier by more than the interval. Methods of one cost stand side by side."
)


def frontier_grids(frontier: DataFrame, cost: str) -> list[Grid]:
    """A table for each group of `frontier_frame`."""
    return [
        Grid(
            title,
            DataFrame(
                {
                    "method": group["method"],
                    "trained by": group["words"],
                    COSTS[cost]: [f"{value:.4g}" for value in group["cost"]],
                    "error, %": [stat_words(stat, 2, 100) for stat in group["error"]],
                    "frontier": group["on"],
                }
            ),
            [many(len(group), "line")],
            foot=[NOTE],
            left=frozenset({0, 1}),
        )
        for title, group in groups_of(frontier, least=1)
    ]


def frontier_picture(frontier: DataFrame, cost: str, least: int = 3) -> Picture | None:
    """A panel for each group of at least so many lines; None where there is none."""
    groups = groups_of(frontier, least)
    if not groups:
        return None
    names = list(dict.fromkeys(name for _, group in groups for name in group["method_name"]))
    by_name = dict(zip(names, looks(names), strict=True))
    panels = tuple(
        _panel(title, group, cost, [by_name[name] for name in group["method_name"]])
        for title, group in groups
    )
    legend = tuple(Legend(name, by_name[name]) for name in names)
    return Picture("Error against cost", panels, legend, (_DRAWN,))


def _panel(title: str, group: DataFrame, cost: str, shown: Sequence[Look]) -> Panel:
    errors = [100 * stat.mean for stat in group["error"]]
    halves = [0.0 if isna(half) else 100 * half for half in group["half"]]
    places, costs = _side_by_side(group["cost"]), list(group["cost"])
    # The interval of two seeds can be twelve times their distance: the axis shows the means.
    short = (max(errors) - min(errors)) / 2
    near = [edge for e, h in zip(errors, halves, strict=True) for edge in (e - h, e + h) if h <= short]
    low = max(0.0, min([*errors, *near]) - short / 4)

    def draw(axes: Axes) -> None:
        Axis(f"cost, {COSTS[cost]}", min(costs) / 1.4, max(costs) * 1.4, scale="log").apply(axes, "x", costs)
        Axis("test error, %", low, least=0.5).apply(axes, "y", [*errors, *near])
        edge = group[group["on"] == "yes"]
        means = [100 * stat.mean for stat in edge["error"]]
        ends = [*edge["cost"], max(costs) * 1.4]
        axes.step(ends, [*means, means[-1]], where="post", color="#c9ced6", lw=1.6)
        for x, y, half, on, look in zip(places, errors, halves, group["on"], shown, strict=True):
            axes.plot([x, x], [y - half, y + half], color=look.colour, lw=1, label="_interval")
            mark(axes, look, [(x, y)], size=5.5, hollow=on == "no")

    return Panel(title, draw)


def _side_by_side(costs: Series) -> list[float]:
    """Where markers stand: those of one cost around it, in a quarter of the cost at most."""
    numbers, sizes = costs.groupby(costs).cumcount(), costs.groupby(costs).transform("size")
    steps = (numbers - (sizes - 1) / 2) / sizes
    return list(costs * 1.25**steps)
