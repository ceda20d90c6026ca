"""Values of methods under conditions that have no order: a group per condition, in it a line per method."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes

from msda_train.reporting.draw import Look, plain_words
from msda_train.reporting.pictures.lines import Axis, mark
from msda_train.reporting.pictures.picture import Panel

_HEAD, _LINE, _GAP = 0.2, 0.12, 0.05  # inches
_LONGEST = 58


@dataclass(frozen=True)
class Condition:
    """One row of dots: what was measured, and the numbers of each method."""

    label: str
    values: tuple[tuple[Look, tuple[float, ...]], ...]  # of each method its seeds

    @property
    def drawn(self) -> list[tuple[Look, tuple[float, ...]]]:
        """Without methods that have no value."""
        return [(look, seeds) for look, seeds in self.values if seeds]


def dot_panel(caption: str, conditions: Sequence[Condition], axis: Axis) -> Panel | None:
    """The mean over seeds as a bar, every seed as a hollow marker; None where there is nothing to draw."""
    shown = [each for each in conditions if each.drawn]
    known = [value for each in shown for _, seeds in each.drawn for value in seeds]
    if not known:
        return None
    height = sum(_HEAD + _LINE * len(each.drawn) + _GAP for each in shown)

    def draw(axes: Axes) -> None:
        axes.set(ylim=(height, 0), yticks=[])
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axis.apply(axes, "x", known)
        y = 0.0
        for each in shown:
            head(axes, y + _HEAD * 0.75, each.label)
            y += _HEAD
            for look, seeds in each.drawn:
                if len(seeds) > 1:
                    mean = fmean(seeds)
                    axes.plot(
                        [mean] * 2,
                        [y, y + _LINE],
                        color=look.colour,
                        lw=2,
                        label="_centre",
                        solid_capstyle="butt",
                    )
                mark(axes, look, [(x, y + _LINE / 2) for x in seeds], size=4.5, hollow=True, name="point")
                y += _LINE
            y += _GAP

    return Panel(caption, draw, height=height, left=0.12)


def head(axes: Axes, y: float, words: str) -> None:
    """Words above the lines they belong to, at the left side of axes whose y are inches."""
    at = axes.get_yaxis_transform()
    axes.text(0, y, plain_words(words, _LONGEST), transform=at, size=7.5, weight="bold", va="baseline")
