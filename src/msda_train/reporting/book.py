"""What a report shows, found once: tables, columns, epochs, examples. The other modules draw it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from msda_train.comparison.compare import TableView, compare
from msda_train.comparison.config_diff import method_words
from msda_train.comparison.table import Block, Line, build_table
from msda_train.config.fingerprint import settled
from msda_train.config.method_look import method_rank
from msda_train.records.external_results import ExternalResult
from msda_train.records.published import Paper
from msda_train.records.rows import Row
from msda_train.reporting import limits
from msda_train.reporting.curves import Curve
from msda_train.reporting.draw import looks
from msda_train.reporting.gallery import Gallery, read_gallery
from msda_train.reporting.history import History, read_history

Column = tuple[str, str, bool]


@dataclass(frozen=True)
class Examples:
    """Mixed images of one method on one data set, or why there are none."""

    dataset: str
    method: str
    gallery: Gallery | str


@dataclass(frozen=True)
class Book:
    """All that a report shows: rows, published tables beside them, and what was wrong with files."""

    rows: tuple[Row, ...]
    views: tuple[TableView, ...]
    blocks: Mapping[Column, Block]  # all rows, whether or not a published number stands beside them
    external: tuple[ExternalResult, ...]  # of other programs: shown apart, part of nothing
    complaints: tuple[str, ...]
    made: datetime
    origin: str
    _histories: dict[tuple[str, str, int], History] = field(default_factory=dict)

    def history(self, row: Row) -> History:
        """Read when first asked for: a page of ten thousand rows shows the epochs of few."""
        if row.key not in self._histories:
            self._histories[row.key] = read_history(row.path)
        return self._histories[row.key]

    def curves(self, block: Block) -> list[Curve]:
        """The lines of a column as curves; their looks are those of the column's other plots, too."""
        found = looks([line.rows[0].names["method"] for line in block.lines])
        return [
            Curve(line.method, look, tuple(self.history(row).epochs for row in line.rows))
            for line, look in zip(block.lines, found, strict=True)
        ]

    def pictured(self, block: Block) -> Block:
        """With as many lines as a picture can show."""
        return replace(block, lines=tuple(limits.best(block, limits.PICTURED)))

    @cached_property
    def evident(self) -> Sequence[tuple[Block, Line]]:
        """The lines whose configurations and epochs the page carries: those of published numbers first."""
        beside = {row.fingerprint for view in self.views for each in view.cells for row in each.rows}
        first = [(b, line) for b in self.blocks.values() for line in b.lines if line.fingerprint in beside]
        rest = [
            (b, line)
            for b in self.blocks.values()
            for line in limits.best(b, limits.LINES)
            if line.fingerprint not in beside
        ]
        chosen, runs = set(), 0
        for _, line in (*first, *rest):
            runs += len(line.rows)
            if runs > limits.RUNS:
                break
            chosen.add(id(line))
        return [(b, line) for b in self.blocks.values() for line in b.lines if id(line) in chosen]

    def examples(self) -> Iterator[Examples]:
        """One for each method config and set of images: the first row that has any, else the first reason."""
        found: dict[tuple[str, str], tuple[Row, Gallery | str]] = {}
        for row in (row for _, line in self.evident for row in line.rows):
            key = json.dumps(settled(row.config["method"]), sort_keys=True), str(row.data["content"])
            if key not in found or isinstance(found[key][1], str):
                gallery = read_gallery(row.path)
                if key not in found or not isinstance(gallery, str):
                    found[key] = row, gallery
        for row, made in sorted(found.values(), key=_place):
            yield Examples(row.names["dataset"] or "unnamed", method_words(row), made)


def _place(item: tuple[Row, object]) -> tuple[str, tuple[int, str]]:
    names = item[0].names
    return names["dataset"] or "", method_rank(names["method"])


def column_of(row: Row) -> Column:
    """What the lines of one plot share: data set, model, recipe, and the very images."""
    return row.column, str(row.data["content"]), bool(row.data["complete"])


def open_book(
    papers: Sequence[Paper],
    rows: Sequence[Row],
    *,
    external: Iterable[ExternalResult] = (),
    complaints: Iterable[str] = (),
    made: datetime,
    origin: str = "",
) -> Book:
    """Everything about `rows` beside `papers`."""
    blocks = build_table(rows, {})
    return Book(
        rows=tuple(rows),
        views=tuple(compare(papers, rows)),
        blocks={column_of(block.lines[0].rows[0]): block for block in blocks},
        external=tuple(external),
        complaints=tuple(complaints),
        made=made,
        origin=origin,
    )
