"""The parts of the page: published tables, other schedules, other columns, probes, mixed images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

from markupsafe import Markup

from msda_train.comparison.compare import ShortBlock, TableView
from msda_train.comparison.table import Block
from msda_train.reporting import limits
from msda_train.reporting.book import Book, Column, column_of
from msda_train.reporting.curves import curves_picture
from msda_train.reporting.evidence import line_id
from msda_train.reporting.frames import Frames
from msda_train.reporting.gallery import Gallery, show
from msda_train.reporting.pictures.data import probed
from msda_train.reporting.plots import SEEDS_TITLE, listed, published_picture, seeds_picture
from msda_train.reporting.probe_plots import KINDS
from msda_train.reporting.tables import Tables, orders
from msda_train.reporting.template import render


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    id: str
    title: str
    content: Markup


@dataclass
class Drawer:
    """Draws a book, `published` first, `others` last; remembers what it has drawn, so that a column that
    serves two tables is drawn once and linked to afterwards."""

    book: Book
    frames: Frames
    tables: Tables
    _drawn: set[Column] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)  # fingerprints of lines that stand in some table

    def published(self) -> Iterator[Part]:
        """Each published table with rows of exactly its configurations."""
        for view in self.book.views:
            if any(each.rows for each in view.cells):
                title = f"{view.paper.key}, {view.table.name}"
                yield Part(f"table-{view.paper.key}-{view.table.id}", title, self._published(view))

    def _published(self, view: TableView) -> Markup:
        rows = [row for each in view.cells for row in each.rows]
        self._told |= {row.fingerprint for row in rows}
        compared = listed(each.cell.label for each in view.cells if each.rows)
        said = f"Published and our numbers: {compared}. The table holds them"
        paper = view.paper
        return render(
            "published",
            url=paper.url if paper.url.startswith(("https://", "http://")) else "",
            source=f"{paper.title} ({paper.venue})",
            caption=view.table.caption.rstrip("."),
            comparison=self.tables.comparison(view),
            plots=self.frames.show(published_picture(view), said),
            curves=[self._curves(column) for column in dict.fromkeys(map(column_of, rows))],
            notes=[note for note in (paper.note, view.table.note) if note],
        )

    def similar(self) -> tuple[list[Part], list[str]]:
        """Columns with the data set, model and methods of published ones, but another schedule or setting;
        and the words of those that there is no room for."""
        parts: list[Part] = []
        names: list[str] = []
        for column, found in self._similar.items():
            block = self.book.blocks[column]
            lines = {line.fingerprint for line in block.lines}
            if lines <= self._told and all(short.common < 2 for _, short in found):
                continue  # they stand above already, and there is nothing to add
            self._told |= lines
            if len(parts) >= limits.COLUMNS:
                names.append(block.words)
                continue
            made = [self.tables.plain(block), orders(found)]
            name = f"column-{line_id(block.lines[0].rows[0])}"
            parts.append(Part(name, block.words, self._column(column, made)))
        return parts, names

    @cached_property
    def _similar(self) -> dict[Column, list[tuple[TableView, ShortBlock]]]:
        """With at least one method in common, so that there is a reason to show them side by side."""
        found: dict[Column, list[tuple[TableView, ShortBlock]]] = {}
        for view in self.book.views:
            for block in view.shorter:
                if block.common:
                    found.setdefault(column_of(block.lines[0].rows[0]), []).append((view, block))
        return found

    def others(self) -> Iterator[tuple[Column, Block]]:
        """Columns of our own, with the lines that stand in no section so far."""
        for column, block in self.book.blocks.items():
            lines = tuple(line for line in block.lines if line.fingerprint not in self._told)
            if lines:
                yield column, replace(block, lines=lines)

    def other(self, column: Column, block: Block) -> Part:
        """The section of one of `others`."""
        name = f"line-{line_id(block.lines[0].rows[0])}"
        return Part(name, block.words, self._column(column, [self.tables.plain(block)]))

    def _column(self, column: Column, tables: Sequence[Markup]) -> Markup:
        """Notes, seeds and curves of our own numbers; the plots only the first time."""
        block = self.book.pictured(self.book.blocks[column])
        said = f"{SEEDS_TITLE}: {listed(line.method for line in block.lines)}"
        seeds = None if column in self._drawn else self.frames.show(seeds_picture(block), said)
        return render(
            "column",
            tables=Markup("\n").join(tables),
            notes=block.notes,
            seeds=seeds,
            curves=self._curves(column),
        )

    def _curves(self, column: Column) -> Markup:
        whole = self.book.blocks[column]
        name = f"curves-{line_id(whole.lines[0].rows[0])}"
        again = column in self._drawn
        self._drawn.add(column)
        block, picture = self.book.pictured(whole), None
        if not again:
            said = f"By epoch: {listed(line.method for line in block.lines)}"
            picture = self.frames.show(curves_picture(self.book.curves(block)), said)
        left_out = fewer(whole, block)
        return render("curves", id=name, words=block.words, again=again, picture=picture, left_out=left_out)


def fewer(whole: Block, shown: Block) -> str:
    """What a picture of a column leaves out; nothing where it shows all."""
    rest = len(whole.lines) - len(shown.lines)
    most = len(shown.lines)
    return (
        f"Pictures show the {most} methods with the lowest mean error; {rest:,} are left out." if rest else ""
    )


def gathered(parts: Iterable[Part], names: Sequence[str] = ()) -> Markup | None:
    """Parts of one section, each under its own head, and the names of those that there is no room for."""
    parts = list(parts)
    unnamed = max(0, len(names) - limits.COLUMNS)
    if not parts:
        return None
    return render("gathered", parts=parts, names=names[: limits.COLUMNS], unnamed=unnamed)


def probe_section(book: Book, frames: Frames) -> Markup | None:
    """Each column's pictures of what probes found, but for the learning curves, which stand elsewhere."""
    shown, left_out = [], []
    kinds = [kind for kind in KINDS.values() if kind.probe]
    for whole in book.blocks.values():
        if not _is_probed(whole):
            continue
        if frames.drawn >= limits.PICTURES or frames.size >= limits.PICTURE_BYTES:
            left_out.append(whole.words)
            continue
        block = book.pictured(whole)
        methods = probed(block)
        pictures = [picture for kind in kinds if (picture := kind.picture(methods))]
        said = f"{block.words}: {listed(method.label for method in methods)}"
        drawn = [frames.show(picture, said, title=True) for picture in pictures]
        if drawn:
            shown.append((block.words, drawn, fewer(whole, block)))
    named = left_out[: limits.COLUMNS]
    return render("probes", blocks=shown, left_out=named) if shown or left_out else None


def _is_probed(block: Block) -> bool:
    """By what lies in its rows, or in the folders beside them."""
    probes = tuple(f"{kind.probe}/" for kind in KINDS.values() if kind.probe)
    rows = [row for line in block.lines for row in line.rows]
    told = any(key.startswith(probes) for row in rows for key in row.metrics)
    return told or any(row.path.name == "row.json" and (row.path.parent / "probes").is_dir() for row in rows)


def galleries(book: Book) -> Markup:
    """Mixed images by data set and method; methods without any are named with the reason."""
    examples = list(book.examples())
    groups = []
    for dataset, group in groupby(examples[: limits.EXAMPLES], key=lambda each: each.dataset):
        reasons: dict[str, list[str]] = {}
        shown = []
        for each in group:
            if isinstance(each.gallery, Gallery):
                shown.append((each.method, show(each.gallery)))
            else:
                reasons.setdefault(each.gallery, []).append(each.method)
        groups.append((dataset, shown, [(reason, listed(methods)) for reason, methods in reasons.items()]))
    rest = len(examples) - limits.EXAMPLES
    said = f"{rest:,} more methods are left out to keep this page small." if rest > 0 else ""
    return render("galleries", groups=groups, left_out=said)
