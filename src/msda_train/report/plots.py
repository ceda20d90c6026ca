"""From tables and columns to plots on the page: what is compared in which plot, and what it is called."""

from collections.abc import Iterable, Sequence

from msda_train.report.curves import PANELS, Curve, curve_panel, legend_in_page
from msda_train.report.intervals import WIDTH, Entry, interval_plot, printed_interval
from msda_train.report.looks import looks
from msda_train.report.markup import Markup, join, tag
from msda_train.report.svg import Drawing, on_page
from msda_train.report.words import metric_title, told_apart
from msda_train.results.compare import CellView, TableView, in_cell_unit
from msda_train.results.table import Block

_LEAST = {"percent": 0.5, "nats": 0.02}  # the narrowest axis: a hair's breadth must not fill a plot
_SEEDS_TITLE = "test error of the last epoch, %"


def published_plots(view: TableView) -> Markup:
    """One plot for each column and metric of the paper that has a number of ours."""
    panels: dict[tuple[str, ...], list[CellView]] = {}
    for each in view.cells:
        cell = each.cell
        panels.setdefault((cell.dataset, cell.model, cell.metric, cell.unit), []).append(each)
    figures = [_published_plot(views) for views in panels.values() if any(each.rows for each in views)]
    said = (
        "Grey bar: published value ± its spread, or the interval that rounds to it where none is printed. "
        "Coloured bar: mean of our seeds with its 90 % interval; below it every seed. "
        "An arrow goes on beyond the plot."
    )
    return join(_side_by_side(figures), tag("p", said, class_="note"))


def _published_plot(views: Sequence[CellView]) -> Markup:
    cell = views[0].cell
    found = looks(each.cell.method for each in views)
    entries = [
        Entry(_label(each), look, tuple(in_cell_unit(each.cell, each.rows)), printed_interval(each.cell))
        for each, look in zip(views, found, strict=True)
    ]
    axis = metric_title(cell.metric, cell.unit)
    compared = _listed(entry.label for entry in entries if entry.ours)
    return _figure(
        f"{cell.dataset}, {cell.model}",
        f"Published and our {axis}: {compared}. The table holds the numbers",
        interval_plot(entries, axis, least=_LEAST.get(cell.unit, 0.1)),
    )


def _label(view: CellView) -> str:
    apart = told_apart(view.cell)
    return f"{view.cell.label} ({apart})" if apart else view.cell.label


def seeds_drawing(block: Block, width: float = WIDTH) -> Drawing:
    """Last-epoch errors of a column, without published numbers."""
    found = looks(line.rows[0].names["method"] for line in block.lines)
    entries = [
        Entry(line.method, look, tuple(100 * row.metrics["error/last"] for row in line.rows))
        for line, look in zip(block.lines, found, strict=True)
    ]
    return interval_plot(entries, _SEEDS_TITLE, width=width)


def seeds_plot(block: Block) -> Markup:
    """The same on the page."""
    said = f"{_SEEDS_TITLE}: {_listed(line.method for line in block.lines)}"
    figure = _figure("Mean with its 90 % interval, and every seed", said, seeds_drawing(block))
    return _side_by_side([figure])


def curve_plots(curves: Sequence[Curve], points: int) -> Markup:
    """Test error and training loss with their legend, or a note where the rows hold no epochs."""
    labels = _listed(curve.label for curve in curves)
    figures = []
    for panel in PANELS:
        drawing = curve_panel(curves, panel, points)
        if drawing:
            figures.append(_figure(None, f"{panel.title} by epoch: {labels}", drawing))
    if not figures:
        return tag("p", "These rows hold no epochs to draw.", class_="note")
    several = any(len(curve.seeds) > 1 for curve in curves)
    said = tag("p", "Thick: mean over seeds. Thin: each seed.", class_="note") if several else None
    return join(legend_in_page(curves), _side_by_side(figures), said)


def _figure(caption: str | None, description: str, drawing: Drawing) -> Markup:
    named = f"{caption}. {description}" if caption else description
    return tag("figure", tag("figcaption", caption) if caption else None, on_page(drawing, named))


def _side_by_side(figures: Sequence[Markup]) -> Markup:
    return tag("div", figures, class_="plots")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
