"""From tables and columns to pictures: what is compared in which plot, and what it is called."""

from collections.abc import Iterable, Sequence

from msda_train.comparison.compare import CellView, TableView, in_cell_unit
from msda_train.comparison.table import Block
from msda_train.records.summary import TASKS
from msda_train.reporting.draw import looks
from msda_train.reporting.intervals import Entry, interval_panel, printed_interval
from msda_train.reporting.pictures.picture import WIDTH, Panel, Picture
from msda_train.reporting.words import metric_title, told_apart

_LEAST = {"percent": 0.5, "nats": 0.02}  # the narrowest axis: a hair's breadth must not fill a plot
SEEDS_TITLE = "test error of the last epoch, %"
_SEEDS_TITLES = {"error": SEEDS_TITLE, "modes": "modes found at the end, % of all"}
PUBLISHED_NOTE = (
    "Grey bar: published value ± its spread, or the interval that rounds to it where none is printed. "
    "Coloured bar: mean of our seeds with its 90 % interval; below it every seed. "
    "An arrow goes on beyond the plot."
)


def published_picture(view: TableView) -> Picture:
    """One panel for each column and metric of the paper that has a number of ours."""
    panels: dict[tuple[str, ...], list[CellView]] = {}
    for each in view.cells:
        cell = each.cell
        panels.setdefault((cell.dataset, cell.model, cell.metric, cell.unit), []).append(each)
    drawn = [_published_panel(views) for views in panels.values() if any(each.rows for each in views)]
    return Picture("Published and ours", tuple(drawn), (), (PUBLISHED_NOTE,))


def _published_panel(views: Sequence[CellView]) -> Panel:
    cell = views[0].cell
    found = looks([each.cell.method for each in views])
    entries = [
        Entry(_label(each), look, tuple(in_cell_unit(each.cell, each.rows)), printed_interval(each.cell))
        for each, look in zip(views, found, strict=True)
    ]
    axis = metric_title(cell.metric, cell.unit)
    return interval_panel(f"{cell.dataset}, {cell.model}", entries, axis, least=_LEAST.get(cell.unit, 0.1))


def _label(view: CellView) -> str:
    apart = told_apart(view.cell)
    return f"{view.cell.label} ({apart})" if apart else view.cell.label


def seeds_picture(block: Block, width: float = WIDTH) -> Picture:
    """What a column's last epochs measured first, errors or modes found, without published numbers."""
    metric = TASKS[block.task][0]
    found = looks([line.rows[0].names["method"] for line in block.lines])
    entries = [
        Entry(line.method, look, tuple(100 * row.metrics[f"{metric}/last"] for row in line.rows))
        for line, look in zip(block.lines, found, strict=True)
    ]
    panel = interval_panel(
        "Mean with its 90 % interval, and every seed", entries, _SEEDS_TITLES[metric], width=width
    )
    return Picture("Every seed of every method", (panel,), ())


def listed(words: Iterable[str]) -> str:
    """Each once, with commas."""
    return ", ".join(dict.fromkeys(words))
