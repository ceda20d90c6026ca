"""The parts of the page: published tables, other schedules, other columns, mixed images."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

from msda_train.report.book import Book, Column, column_of
from msda_train.report.evidence import line_id
from msda_train.report.gallery import Gallery, show
from msda_train.report.markup import Markup, join, tag
from msda_train.report.plots import curve_plots, published_plots, seeds_plot
from msda_train.report.tables import comparison, orders, plain
from msda_train.results.compare import ShortBlock, TableView

Part = tuple[str, str, Markup]  # id, title, content


@dataclass
class Drawer:
    """Draws a book with so many points to a curve, `published` first, `others` last; remembers what it has
    drawn, so that a column that serves two tables is drawn once and linked to afterwards."""

    book: Book
    points: int
    _drawn: set[Column] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)  # fingerprints of lines that stand in some table

    def published(self) -> Iterator[Part]:
        """Each published table with rows of exactly its configurations."""
        for view in self.book.views:
            if any(each.rows for each in view.cells):
                title = f"{view.paper.key}, {view.table.name}"
                yield f"table-{view.paper.key}-{view.table.id}", title, self._published(view)

    def _published(self, view: TableView) -> Markup:
        rows = [row for each in view.cells for row in each.rows]
        columns = dict.fromkeys(map(column_of, rows))
        self._told |= {row.fingerprint for row in rows}
        notes = [tag("p", note, class_="note") for note in (view.paper.note, view.table.note) if note]
        return join(
            tag("p", _source(view), f": {view.table.caption.rstrip('.')}."),
            comparison(view),
            published_plots(view),
            [self._curves(column) for column in columns],
            tag("details", tag("summary", "About the printed numbers"), notes) if notes else None,
        )

    def similar(self) -> Iterator[Part]:
        """Columns with the data set, model and methods of published ones, but another schedule or setting."""
        for column, found in self._similar.items():
            block = self.book.blocks[column]
            lines = {line.fingerprint for line in block.lines}
            if lines <= self._told and all(short.common < 2 for _, short in found):
                continue  # they stand above already, and there is nothing to add
            self._told |= lines
            content = join(plain(block), orders(found), self._column(column))
            yield f"column-{line_id(block.lines[0].rows[0])}", block.words, content

    @cached_property
    def _similar(self) -> dict[Column, list[tuple[TableView, ShortBlock]]]:
        """With at least one method in common, so that there is a reason to show them side by side."""
        found: dict[Column, list[tuple[TableView, ShortBlock]]] = {}
        for view in self.book.views:
            for block in view.shorter:
                if block.common:
                    found.setdefault(column_of(block.lines[0].rows[0]), []).append((view, block))
        return found

    def others(self) -> Iterator[Part]:
        """Lines of our own that stand in no section so far."""
        for column, block in self.book.blocks.items():
            lines = tuple(line for line in block.lines if line.fingerprint not in self._told)
            if lines:
                content = join(plain(replace(block, lines=lines)), self._column(column))
                yield f"line-{line_id(lines[0].rows[0])}", block.words, content

    def _column(self, column: Column) -> Markup:
        """Notes, seeds and curves of our own numbers; the plots only the first time."""
        block = self.book.blocks[column]
        notes = [tag("p", tag("strong", "Note: "), f"{note}.", class_="note") for note in block.notes]
        return join(notes, None if column in self._drawn else seeds_plot(block), self._curves(column))

    def _curves(self, column: Column) -> Markup:
        block = self.book.blocks[column]
        name, words = f"curves-{line_id(block.lines[0].rows[0])}", tag("code", block.words)
        if column in self._drawn:
            return tag("p", tag("a", "Learning curves of ", words, href=f"#{name}"), " stand above.")
        self._drawn.add(column)
        heading = tag("h4", "Learning curves: ", words, id=name)
        return join(heading, curve_plots(self.book.curves(block), self.points))


def _source(view: TableView) -> Markup | str:
    paper = view.paper
    words = f"{paper.title} ({paper.venue})"
    return tag("a", words, href=paper.url) if paper.url.startswith(("https://", "http://")) else words


def galleries(book: Book) -> Markup:
    """Mixed images by data set and method; methods without any are named with the reason."""
    parts = []
    for dataset, group in groupby(book.examples, key=lambda each: each.dataset):
        reasons: dict[str, list[str]] = {}
        parts.append(tag("h3", dataset))
        for each in group:
            if isinstance(each.gallery, Gallery):
                parts.append(join(tag("h4", each.method), show(each.gallery)))
            else:
                reasons.setdefault(each.gallery, []).append(each.method)
        for reason, methods in reasons.items():
            named = ", ".join(dict.fromkeys(methods))
            parts.append(tag("p", f"{named}: no examples. {reason}", class_="note"))
    return join(parts)
