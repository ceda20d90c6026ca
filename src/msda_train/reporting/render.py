"""The table of rows as grids and records: one grid per block, one record per group of seeds."""

from collections.abc import Iterable, Sequence

from msda_train.comparison.cell_words import RULES, printed_value, protocol_words
from msda_train.comparison.match import cells_by_fingerprint
from msda_train.comparison.table import Beside, Block, Line, build_table
from msda_train.records.published import Paper, load_papers
from msda_train.records.row_checks import NAMES
from msda_train.records.rows import Row, one_line
from msda_train.records.summary import CLASSIFICATION, TASKS, protocols
from msda_train.reporting.grid import Grid, csv_text, draw

_TITLES = {"error": "error, %", "top5_error": "top-5 error, %", "nll": "NLL, nats"}
_TITLES |= {"modes": "modes found, %", "good": "good samples, %"}
_SPEEDS = {CLASSIFICATION: "images/s", "gan": "real points/s"}
_PUBLISHED = ("published", "protocol", "ours - publ.", "where")


def render(
    rows: Iterable[Row],
    style: str = "text",
    metric: str = "error",
    papers: Sequence[Paper] | None = None,
    columns: Sequence[str] = (),
) -> str:
    """The table of `rows` as one string; `papers` are the shipped ones unless given. `columns`: numbers of
    probes, PROBE/NAME, in a column each."""
    rows = list(rows)
    cells = cells_by_fingerprint(load_papers() if papers is None else papers, rows)
    blocks = build_table(rows, cells)
    if style == "csv":
        shown = [block for block in blocks if _metrics(block, metric)]
        alike = [block for block in shown if block.task == shown[0].task]  # one head for all lines
        return csv_text([_record(block, line, metric, columns) for block in alike for line in block.lines])
    asked = [(block, each) for block in blocks for each in _metrics(block, metric)]
    return draw([_grid(block, each, columns) for block, each in asked], style)


def _metrics(block: Block, metric: str) -> tuple[str, ...]:
    """The one that was asked for; of a task without `error`, which nobody has to ask for, all."""
    known = TASKS[block.task]
    return (metric,) if metric in known else known if metric == "error" else ()


def _grid(block: Block, metric: str, columns: Sequence[str]) -> Grid:
    rows = _rows(block, metric, columns)
    published = rows[0][-len(_PUBLISHED) :] == list(_PUBLISHED)
    left = {0, len(rows[0]) - 1} if published else {0}  # the method, and where a number is printed
    return Grid(block.words, rows, [block.facts], block.notes, left=frozenset(left), typed=True)


def _rows(block: Block, metric: str, columns: Sequence[str]) -> list[list[str]]:
    """Head and body as words, the same for every style but CSV."""
    grid = [[_TITLES[metric], "seeds", *RULES.values(), _SPEEDS[block.task], *columns, *_PUBLISHED]]
    scale, digits = (1, 4) if metric == "nll" else (100, 2)  # a probe's numbers stay as they are stored
    for line in block.lines:
        ours = [line.metrics[f"{metric}/{rule}"].words(digits, scale) for rule in RULES]
        probed = [line.metrics[name].words(4) if name in line.metrics else "-" for name in columns]
        left = [line.method, str(len(line.rows)), *ours, f"{line.images_per_second:,.0f}", *probed]
        beside = [_beside(item) for item in _of_metric(line, metric)] or [[""] * len(_PUBLISHED)]
        grid += [(left if index == 0 else [""] * len(left)) + right for index, right in enumerate(beside)]
    if not any(cell for row in grid[1:] for cell in row[-len(_PUBLISHED) :]):
        grid = [row[: -len(_PUBLISHED)] for row in grid]
    return grid


def _of_metric(line: Line, metric: str) -> list[Beside]:
    return [item for item in line.beside if item.cell.compared_with.split("/")[0] == metric]


def _beside(item: Beside) -> list[str]:
    cell = item.cell
    word = "" if cell.metric in _TITLES else f" {cell.metric}"  # an accuracy stays one
    runs = f" (n={cell.n})" if cell.n else ""
    difference = f"{item.difference:+.{max(cell.digits, 2)}f}"
    printed = f"{printed_value(cell)}{word}{runs}"
    return [printed, protocol_words(cell), difference, f"{cell.paper} {cell.table_name}"]


def _record(block: Block, line: Line, metric: str, columns: Sequence[str]) -> dict[str, object]:
    row = line.rows[0]
    record: dict[str, object] = {name: one_line(row.names[name] or "") for name in NAMES}
    record |= {"column_words": block.words, "method_words": line.method, "fingerprint": line.fingerprint}
    record |= {"seeds": len(line.rows), "seed_list": " ".join(str(each.seed) for each in line.rows)}
    for key in protocols(row.task):
        stat, unit = line.metrics[key], "nats" if key.startswith("nll") else "fraction"
        name = key.replace("/", "_")
        record |= {f"{name}_mean_{unit}": stat.mean, f"{name}_std_{unit}": stat.std}
    for name in columns:
        found = line.metrics.get(name)
        record |= {f"{name}_mean": found and found.mean, f"{name}_std": found and found.std}
    record["images_per_second_median"] = line.images_per_second
    data = ("content", "complete", "train_images", "test_images", "classes")
    record |= {f"data_{key}": one_line(row.data.get(key, "")) for key in data}
    for key in ("device_name", "precision"):
        record[key] = "; ".join(sorted({one_line(each.environment.get(key) or "") for each in line.rows}))
    return record | _published_record(_of_metric(line, metric))


def _published_record(beside: Sequence[Beside]) -> dict[str, object]:
    """The first cell of the chosen metric; `published_cells` says whether there are more."""
    keys = ("paper", "table", "label", "metric", "value", "std", "n", "unit", "protocol", "compared_with")
    first = beside[0] if beside else None
    record: dict[str, object] = {"published_cells": len(beside)}
    record |= {f"published_{key}": getattr(first.cell, key) if first else None for key in keys}
    record["ours_in_published_unit"] = first.ours.mean if first else None
    record["difference_in_published_unit"] = first.difference if first else None
    return record
