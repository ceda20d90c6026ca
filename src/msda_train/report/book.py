"""What a report shows, found once: tables, columns, epochs, examples. The other modules draw it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msda_train.report.curves import Curve
from msda_train.report.gallery import Gallery, read_gallery
from msda_train.report.history import History, read_history
from msda_train.report.looks import looks
from msda_train.results.compare import TableView, compare
from msda_train.results.fingerprint import settled
from msda_train.results.foreign import Foreign
from msda_train.results.method_look import method_rank
from msda_train.results.published import Paper
from msda_train.results.rows import Row
from msda_train.results.shipped import method_words
from msda_train.results.table import Block, build_table

Column = tuple[str, str, bool]


@dataclass(frozen=True)
class Examples:
    """Mixed images of one method on one data set, or why there are none."""

    dataset: str
    method: str
    gallery: Gallery | str


@dataclass(frozen=True)
class Book:
    rows: tuple[Row, ...]
    views: tuple[TableView, ...]
    blocks: Mapping[Column, Block]  # all rows, whether or not a published number stands beside them
    histories: Mapping[tuple[str, str, int], History]  # by Row.key
    examples: tuple[Examples, ...]
    foreign: tuple[Foreign, ...]  # of other programs: shown apart, part of nothing
    complaints: tuple[str, ...]
    made: datetime
    origin: str

    def curves(self, block: Block) -> list[Curve]:
        """The lines of a column as curves; their looks are those of the column's other plots, too."""
        found = looks(line.rows[0].names["method"] for line in block.lines)
        return [
            Curve(line.method, look, tuple(self.histories[row.key].epochs for row in line.rows))
            for line, look in zip(block.lines, found, strict=True)
        ]


def column_of(row: Row) -> Column:
    """What the lines of one plot share: data set, model, recipe, and the very images."""
    return row.column, str(row.data["content"]), bool(row.data["complete"])


def open_book(
    papers: Sequence[Paper],
    rows: Sequence[Row],
    *,
    foreign: Iterable[Foreign] = (),
    complaints: Iterable[str] = (),
    made: datetime,
    origin: str = "",
) -> Book:
    """Everything about `rows` beside `papers`; reads each row's file once more, for its epochs."""
    blocks = build_table(rows, {})
    return Book(
        rows=tuple(rows),
        views=tuple(compare(papers, rows)),
        blocks={column_of(block.lines[0].rows[0]): block for block in blocks},
        histories={row.key: read_history(row.path) for row in rows},
        examples=tuple(_examples(rows)),
        foreign=tuple(foreign),
        complaints=tuple(complaints),
        made=made,
        origin=origin,
    )


def _examples(rows: Iterable[Row]) -> list[Examples]:
    """One for each method config and set of images: the first row that has any, else the first reason."""
    found: dict[tuple[str, str], tuple[Row, Gallery | str]] = {}
    for row in rows:
        key = json.dumps(settled(row.config["method"]), sort_keys=True), str(row.data["content"])
        if key not in found or isinstance(found[key][1], str):
            gallery = read_gallery(row.path)
            if key not in found or not isinstance(gallery, str):
                found[key] = row, gallery
    chosen = sorted(
        found.values(),
        key=lambda item: (item[0].names["dataset"] or "", method_rank(item[0].names["method"])),
    )
    return [Examples(row.names["dataset"] or "unnamed", method_words(row), made) for row, made in chosen]
