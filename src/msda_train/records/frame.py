"""Rows and published numbers as data frames: a line per run and number, a line per cell.

`msda_train.load_rows` and `msda_train.load_published` are these, for notebooks.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from msda_train.core.errors import UserError
from msda_train.core.paths import PUBLISHED
from msda_train.records import rows as stored
from msda_train.records.probe_records import probe_records
from msda_train.records.published import Cell, Paper, load_papers
from msda_train.records.row_checks import NAMES
from msda_train.records.rows import Row
from msda_train.records.summary import HELD_OUT, protocols

Place = str | PathLike[str]
FACTS = (
    *("path", "fingerprint", "column", "seed", *NAMES),
    *("content", "complete", "device", "precision", "seconds", "images_per_second"),
)
NUMBER = ("metric", "epoch", "probe", "name", "value")  # of a line, besides a probe's setting


def load_rows(*places: Place) -> pd.DataFrame:
    """The finished runs at or under `places` ("runs" unless given), as `rows_frame` has them.

    A file that is no sound row, and two rows of one run that disagree, are one warning each. UserError where
    a place does not exist.
    """
    paths = [Path(place) for place in places or ("runs",)]
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no folder '{path}'")
    rows, complaints = stored.load_rows(paths, task=None)
    for complaint in complaints:
        warnings.warn(complaint, stacklevel=3)
    return rows_frame(rows)


def rows_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per run and number.

    FACTS of the run; its method's options as `method.alpha` and so on, NaN where a method has no such option;
    then NUMBER. `metric` is error, top5_error or nll (with dataset.holdout held_out_error and so on), of a
    GAN modes or good, of the `epoch` last, best, median_last10 or at_best; a probe's number has `probe` and
    `name` instead, and its setting as `setting.eps` and so on. Values are fractions and nats.
    """
    metrics = [
        (run, f"{HELD_OUT}_{metric}" if row.held_out else metric, epoch, row.metrics[protocol])
        for run, row in enumerate(rows)
        for protocol in protocols(row.task)
        for metric, epoch in [protocol.split("/")]
    ]
    measured = pd.DataFrame(metrics, columns=["run", "metric", "epoch", "value"])
    told = [{"run": run} | _setting(record) for run, row in enumerate(rows) for record in probe_records(row)]
    lines = pd.concat([measured, pd.DataFrame(told)]) if told else measured
    for name in NUMBER:
        if name not in lines:
            lines[name] = None
    facts = runs_frame(rows).drop(columns="row").join(pd.DataFrame(map(_options, rows)))
    settings = sorted(column for column in lines if str(column).startswith("setting."))
    tidy = lines.sort_values("run", kind="stable").merge(facts, left_on="run", right_index=True)
    return tidy[[*facts.columns, *NUMBER[:-1], *settings, "value"]].reset_index(drop=True)


def runs_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per run: the `row` itself and FACTS."""
    return pd.DataFrame(map(_facts, rows), columns=["row", *FACTS])


def _facts(row: Row) -> dict[str, Any]:
    machine = row.environment
    return {
        "row": row,
        "path": str(row.path),
        "fingerprint": row.fingerprint,
        "column": row.column,
        "seed": row.seed,
        **row.names,
        "content": row.data["content"],
        "complete": row.data["complete"],
        "device": machine.get("device_name") or machine.get("device"),
        "precision": machine.get("precision"),
        "seconds": row.seconds,
        "images_per_second": row.images_per_second,
    }


def _options(row: Row) -> dict[str, Any]:
    return {f"method.{key}": value for key, value in row.config["method"].items() if key != "_target_"}


def _setting(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key if key in NUMBER else f"setting.{key}": value for key, value in record.items()}


def load_published(folder: Place = PUBLISHED) -> pd.DataFrame:
    """The published cells in `folder`, the shipped ones unless given, as `published_frame` has them.

    UserError names file, line and what is wrong.
    """
    return published_frame(load_papers(Path(folder)))


def cells_frame(papers: Iterable[Paper]) -> pd.DataFrame:
    """One line per published cell: `id` as in `msda-table why`, the `cell`, what it stands in (`in_paper`,
    `in_table`), the fields of Cell, and `compared_with`."""
    lines = [
        {"id": f"{paper.key}/{table.id}/{number}", "cell": cell, "in_paper": paper, "in_table": table}
        | vars(cell)
        | {"compared_with": cell.compared_with}
        for paper in papers
        for table in paper.tables
        for number, cell in enumerate(table.cells, 1)
    ]
    own = [field.name for field in fields(Cell)]
    names = ["id", "cell", "in_paper", "in_table", *own, "compared_with"]
    return pd.DataFrame(lines, columns=names, dtype=object)


def published_frame(papers: Iterable[Paper]) -> pd.DataFrame:
    """One line per published number.

    `id` as in `msda-table why`, the cell's own words, `overrides` to type after `msda-train`, `runnable` and,
    where it is not, why in `not_runnable`. `value` and `spread` are as printed, in `unit`; `kind` is what the
    spread is: "standard deviation" over `n` runs, or what the paper says.
    """
    cells = cells_frame(papers)
    return pd.DataFrame(
        [
            _published(cell, name)
            for cell, name in zip(cells["cell"], cells["id"], strict=True)
            if cell.not_published is None
        ]
    )


def _published(cell: Cell, name: str) -> dict[str, Any]:
    words = ("paper", "table", "table_name", "label", "dataset", "model", "experiment", "method")
    line: dict[str, Any] = {"id": name} | {key: getattr(cell, key) for key in words}
    deviation = "standard deviation" if cell.std is not None else None
    line |= {
        "options": " ".join(cell.set) or None,
        "alpha": None if cell.alpha is None else str(cell.alpha),
        "metric": cell.metric,
        "setting": cell.setting or None,
        "value": cell.value,
        "spread": cell.std if cell.spread is None else cell.spread,
        "kind": cell.spread_kind or deviation,
        "n": cell.n,
        "unit": cell.unit,
        "protocol": cell.protocol,
        "compared_with": cell.compared_with or None,
        "replication": cell.replication,
        "source": cell.source,
        "note": cell.note,
        "overrides": " ".join(cell.overrides) if cell.not_runnable is None else None,
        "runnable": cell.not_runnable is None,
        "not_runnable": cell.not_runnable,
    }
    return line
