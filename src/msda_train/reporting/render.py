"""The table of rows as grids, one per block, or as records, one per line: `msda-table`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame

from msda_train.comparison.cell_words import RULES, printed_value, protocol_words
from msda_train.comparison.match import with_fingerprints
from msda_train.comparison.table import lines_frame
from msda_train.records.frame import cells_frame
from msda_train.records.published import Cell, Paper, load_papers
from msda_train.records.row_checks import NAMES
from msda_train.records.rows import Row, one_line
from msda_train.records.summary import CLASSIFICATION, TASKS, protocols
from msda_train.reporting.grid import Grid, csv_text, draw

_TITLES = {"error": "error, %", "top5_error": "top-5 error, %", "nll": "NLL, nats"}
_TITLES |= {"modes": "modes found, %", "good": "good samples, %"}
_SPEEDS = {CLASSIFICATION: "images/s", "gan": "real points/s"}
_PUBLISHED = ["published", "protocol", "ours - publ.", "where"]


def render(
    rows: Sequence[Row],
    style: str = "text",
    metric: str = "error",
    papers: Sequence[Paper] | None = None,
    columns: Sequence[str] = (),
) -> str:
    """The table of `rows` as one string; `papers` are the shipped ones unless given. `columns`: numbers of
    probes, PROBE/NAME, in a column each."""
    lines = lines_frame(rows).rename_axis("line").reset_index()
    cells = with_fingerprints(cells_frame(load_papers() if papers is None else papers), lines)
    cells = cells[cells["compared_with"].str.split("/").str[0] == metric]
    cells = cells[cells["not_published"].isna()]
    cells = cells[["fingerprint", "cell"]].assign(complete=True).astype(object)
    joined = lines.merge(cells, on=["fingerprint", "complete"], how="left")  # a line for each cell beside
    if style == "csv":
        shown = [_task(rows) for rows in joined["rows"] if _metrics(rows, metric)]
        joined = joined[
            joined["rows"].map(lambda rows: _task(rows) in shown[:1]).astype(bool)
        ]  # one head for all
        counts = joined.groupby("line")["cell"].count()
        firsts = joined.drop_duplicates("line").to_dict("records")
        return csv_text([_record(line, n, columns) for line, n in zip(firsts, counts, strict=True)])
    blocks = [block for _, block in joined.groupby("block")]
    asked = [(block, each) for block in blocks for each in _metrics(block["rows"].iloc[0], metric)]
    return draw([_grid(block, each, columns) for block, each in asked], style)


def _task(rows: Sequence[Row]) -> str:
    return rows[0].task


def _metrics(rows: Sequence[Row], metric: str) -> tuple[str, ...]:
    """The one that was asked for; of a task without `error`, which nobody has to ask for, all."""
    known = TASKS[_task(rows)]
    return (metric,) if metric in known else known if metric == "error" else ()


def _grid(block: DataFrame, metric: str, columns: Sequence[str]) -> Grid:
    """Words, the same for every style but CSV. A method with several published cells says its own once."""
    scale, digits = (1, 4) if metric == "nll" else (100, 2)  # a probe's numbers stay as they are stored
    shown = DataFrame({_TITLES[metric]: block["method"], "seeds": block["seeds"].map(str)}, dtype=object)
    for rule, word in RULES.items():
        shown[word] = [stat.words(digits, scale) for stat in block[f"{metric}/{rule}"]]
    shown[_SPEEDS[_task(block["rows"].iloc[0])]] = block["images_per_second"].map("{:,.0f}".format)
    for name in columns:
        stats = block.get(name, [None] * len(block))
        shown[name] = ["-" if stat is None else stat.words(4) for stat in stats]
    shown[block["line"].duplicated()] = ""
    published = block["cell"].notna()
    if published.any():
        shown[_PUBLISHED] = [
            _beside(line) if there else [""] * len(_PUBLISHED)
            for line, there in zip(block.to_dict("records"), published, strict=True)
        ]
    left = frozenset({0, -1} if published.any() else {0})  # the method, and where a number is printed
    first = block.iloc[0]
    return Grid(first["words"], shown, [first["facts"]], first["notes"], left=left, typed=True)


def _ours(cell: Cell, line: Mapping[str, Any]) -> float:
    """Our mean in the paper's unit."""
    return cell.ours(line[cell.compared_with].mean)


def _beside(line: Mapping[str, Any]) -> list[str]:
    cell = line["cell"]
    word = "" if cell.metric in _TITLES else f" {cell.metric}"  # an accuracy stays one
    runs = f" (n={cell.n})" if cell.n else ""
    difference = f"{_ours(cell, line) - cell.value:+.{max(cell.digits, 2)}f}"
    printed = f"{printed_value(cell)}{word}{runs}"
    return [printed, protocol_words(cell), difference, f"{cell.paper} {cell.table_name}"]


def _record(line: Mapping[str, Any], cells: int, columns: Sequence[str]) -> dict[str, object]:
    """`cells`: how many published cells of the metric stand beside the line; the first is told."""
    rows, row = line["rows"], line["rows"][0]
    record: dict[str, object] = {name: one_line(row.names[name] or "") for name in NAMES}
    record |= {"column_words": line["words"], "method_words": line["method"]}
    record |= {"fingerprint": line["fingerprint"], "seeds": len(rows)}
    record["seed_list"] = " ".join(str(each.seed) for each in rows)
    for key in protocols(row.task):
        stat, unit = line[key], "nats" if key.startswith("nll") else "fraction"
        name = key.replace("/", "_")
        record |= {f"{name}_mean_{unit}": stat.mean, f"{name}_std_{unit}": stat.std}
    for name in columns:
        found = line.get(name)
        record |= {f"{name}_mean": found and found.mean, f"{name}_std": found and found.std}
    record["images_per_second_median"] = line["images_per_second"]
    data = ("content", "complete", "train_images", "test_images", "classes")
    record |= {f"data_{key}": one_line(row.data.get(key, "")) for key in data}
    for key in ("device_name", "precision"):
        record[key] = "; ".join(sorted({one_line(each.environment.get(key) or "") for each in rows}))
    keys = ("paper", "table", "label", "metric", "value", "std", "n", "unit", "protocol", "compared_with")
    cell = line["cell"] if cells else None
    record |= {"published_cells": cells} | {f"published_{key}": getattr(cell, key, None) for key in keys}
    ours = _ours(cell, line) if cell else None
    record["ours_in_published_unit"] = ours
    return record | {"difference_in_published_unit": ours - cell.value if ours is not None and cell else None}
