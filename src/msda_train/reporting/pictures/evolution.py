"""Test error by epoch, its best and its last one marked: whether the best was a moment's luck.

After mixup's figure of the evolution of the test error (arXiv:1710.09412).
"""

from collections.abc import Sequence

from msda_train.reporting.draw import plain_words
from msda_train.reporting.history import Epoch, read_history
from msda_train.reporting.pictures.data import Probed
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Legend, Panel

TITLE = "Test error by epoch"
PROBE = None
NOTES = (
    'Large hollow mark and "best": the smallest mean over seeds, and its epoch; large filled mark and '
    '"last": the last epoch.',
)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One panel; none where no row holds epochs."""
    series = [_series(method) for method in methods]
    marks = []
    for each in series:
        if each.mean:
            marks += [(each.look, _best(each), True), (each.look, each.mean[-1], False)]
    known = [x for each in series for x, _ in each.points]
    first = min([1.0, *known])
    x = Axis("epoch", first, max([first + 1, *known]), least=1, scale="whole")
    draw = line_panel(series, x, Axis("test error, %", least=0.1), marks=marks)
    return [Panel("", draw, width=6.5, height=3.2)] if draw else []


def legend(methods: Sequence[Probed]) -> tuple[Legend, ...]:
    """With the numbers of the marks."""
    return tuple(
        Legend(f"{plain_words(method.label, 44)}{_words(_series(method))}", method.look) for method in methods
    )


def _series(method: Probed) -> Series:
    return Series(method.look, tuple(_points(read_history(row.path).epochs) for row in method.rows))


def _points(epochs: Sequence[Epoch]) -> tuple[Point, ...]:
    return tuple((epoch.epoch, 100 * epoch.error) for epoch in epochs if epoch.error is not None)


def _best(series: Series) -> Point:
    return min(series.mean, key=lambda point: (point[1], point[0]))


def _words(series: Series) -> str:
    if not series.mean:
        return ""
    epoch, best = _best(series)
    return f": best {best:.2f} (epoch {epoch:g}), last {series.mean[-1][1]:.2f}"
