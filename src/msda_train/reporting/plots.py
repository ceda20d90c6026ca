"""From tables and columns to pictures: what is compared in which plot, and what it is called."""

from collections.abc import Iterable

from pandas import DataFrame

from msda_train.comparison.compare import in_cell_unit
from msda_train.records.published import Cell
from msda_train.records.summary import TASKS
from msda_train.reporting.draw import looks
from msda_train.reporting.intervals import Entry, interval_panel, printed_interval
from msda_train.reporting.number_words import metric_title, told_apart
from msda_train.reporting.pictures.picture import WIDTH, Panel, Picture

# The narrowest axis: a hair's breadth must not fill a plot.
_LEAST = {"percent": 0.5, "nats": 0.02, "score": 0.5}
SEEDS_TITLE = "test error of the last epoch, %"
_SEEDS_TITLES = {"error": SEEDS_TITLE, "modes": "modes found at the end, % of all"}
PUBLISHED_NOTE = (
    "Grey bar: published value ± its spread, or the interval that rounds to it where none is printed. "
    "Coloured bar: mean of our seeds with its 90 % interval; below it every seed. "
    "An arrow goes on beyond the plot."
)


def published_picture(cells: DataFrame) -> Picture:
    """Of a table of `compare` one panel for each column and metric of the paper that has a number of ours."""
    cells = cells[cells["not_published"].isna()]
    panels = cells.groupby(["dataset", "model", "metric", "unit"], sort=False)
    drawn = [_published_panel(panel) for _, panel in panels if panel["block"].notna().any()]
    return Picture("Published and ours", tuple(drawn), (), (PUBLISHED_NOTE,))


def _published_panel(panel: DataFrame) -> Panel:
    cell: Cell = panel["cell"].iloc[0]
    entries = [
        Entry(_label(each), look, tuple(in_cell_unit(each, rows)), printed_interval(each))
        for each, rows, look in zip(panel["cell"], panel["rows"], looks(panel["method"]), strict=True)
    ]
    axis = metric_title(cell.metric, cell.unit)
    return interval_panel(f"{cell.dataset}, {cell.model}", entries, axis, least=_LEAST.get(cell.unit, 0.1))


def _label(cell: Cell) -> str:
    apart = told_apart(cell)
    return f"{cell.label} ({apart})" if apart else cell.label


def seeds_picture(block: DataFrame, width: float = WIDTH) -> Picture:
    """What the last epochs of a block of `lines_frame` measured first, errors or modes found, without
    published numbers."""
    metric = TASKS[block["rows"].iloc[0][0].task][0]
    found = zip(block["method"], looks(block["method_name"]), block["rows"], strict=True)
    entries = [
        Entry(name, look, tuple(100 * row.metrics[f"{metric}/last"] for row in rows))
        for name, look, rows in found
    ]
    panel = interval_panel(
        "Mean with its 90 % interval, and every seed", entries, _SEEDS_TITLES[metric], width=width
    )
    return Picture("Every seed of every method", (panel,), ())


def listed(words: Iterable[str]) -> str:
    """Each once, with commas."""
    return ", ".join(dict.fromkeys(words))
