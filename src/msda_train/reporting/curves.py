"""Learning curves: test error and training loss by epoch, one look per method, one thin line per seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msda_train.reporting.draw import Look
from msda_train.reporting.history import Epoch
from msda_train.reporting.pictures.lines import Axis, Series, line_panel
from msda_train.reporting.pictures.picture import Legend, Panel, Picture

TITLE = "Learning curves"
POINTS = 160  # of one line
Value = Callable[[Epoch], float | None]


@dataclass(frozen=True)
class Curve:
    """One method config over its seeds."""

    label: str
    look: Look
    seeds: tuple[tuple[Epoch, ...], ...]


def _percent(epoch: Epoch) -> float | None:
    return None if epoch.error is None else 100 * epoch.error


PANELS: dict[str, Value] = {"test error, %": _percent, "training loss": lambda epoch: epoch.train_loss}


def curves_picture(curves: Sequence[Curve], points: int = POINTS) -> Picture | None:
    """One panel for each value with at most `points` epochs of a line; None where the rows hold no epochs."""
    panels = [panel for title, value in PANELS.items() if (panel := _panel(curves, title, value, points))]
    several = any(len(curve.seeds) > 1 for curve in curves)
    notes = ("Thick: mean over seeds. Thin: each seed.",) if several else ()
    legend = tuple(Legend(curve.label, curve.look) for curve in curves)
    return Picture(TITLE, tuple(panels), legend, notes) if panels else None


def _panel(curves: Sequence[Curve], title: str, value: Value, points: int) -> Panel | None:
    series = [Series(each.look, tuple(_points(seed, value) for seed in each.seeds)) for each in curves]
    known = [x for each in series for x, _ in each.points]
    if not known:
        return None
    first = min(1.0, *known) if len(known) > 1 else known[0]
    epochs = Axis("epoch", first, max(*known, first + 1), scale="whole")
    draw = line_panel(series, epochs, Axis(title, least=1e-3, robust=True), most=points)
    return Panel("", draw) if draw else None


def _points(epochs: Sequence[Epoch], value: Value) -> tuple[tuple[float, float], ...]:
    found = [(epoch.epoch, value(epoch)) for epoch in epochs]
    return tuple((x, y) for x, y in found if y is not None)
