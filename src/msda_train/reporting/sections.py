"""The parts of the page: published tables, other schedules, other columns, probes, mixed images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from pandas import DataFrame, Series

from msda_train.comparison.compare import TABLE
from msda_train.comparison.frontier import frontier_frame
from msda_train.reporting import limits
from msda_train.reporting.curves import curves_picture
from msda_train.reporting.evidence import line_id
from msda_train.reporting.frontier import frontier_grids, frontier_picture
from msda_train.reporting.gallery import Gallery, show
from msda_train.reporting.grid import Grid
from msda_train.reporting.page_pictures import PagePictures
from msda_train.reporting.pictures.data import probed
from msda_train.reporting.plots import SEEDS_TITLE, listed, published_picture, seeds_picture
from msda_train.reporting.probe_plots import KINDS
from msda_train.reporting.report import Report
from msda_train.reporting.tables import TableRow, Tables, html_table, orders
from msda_train.reporting.template import render


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    id: str
    title: str
    content: Markup


@dataclass
class Drawer:
    """Draws a report: `published` first, `others` last; remembers what it has drawn, so that a block that
    serves two tables is drawn once and linked to afterwards."""

    report: Report
    page_pictures: PagePictures
    tables: Tables
    _drawn: set[int] = field(default_factory=set)  # blocks
    _told: set[str] = field(default_factory=set)  # fingerprints of lines that stand in some table

    def published(self) -> Iterator[Part]:
        """Each published table with rows of exactly its configurations."""
        for _, cells in self.report.compared.groupby(TABLE, sort=False):
            if cells["block"].notna().any():
                cell = cells["cell"].iloc[0]
                title = f"{cell.paper}, {cell.table_name}"
                yield Part(f"table-{cell.paper}-{cell.table}", title, self._published(cells))

    def _published(self, cells: DataFrame) -> Markup:
        run = cells[cells["block"].notna()]
        self._told |= set(run["fingerprint"])
        said = f"Published and our numbers: {listed(run['label'])}. The table holds them"
        paper, shown = cells["in_paper"].iloc[0], cells["in_table"].iloc[0]
        return render(
            "published",
            url=paper.url if paper.url.startswith(("https://", "http://")) else "",
            source=f"{paper.title} ({paper.venue})",
            caption=shown.caption.rstrip("."),
            comparison=self.tables.comparison(cells),
            plots=self.page_pictures.show(published_picture(cells), said),
            curves=[self._curves(int(number)) for number in run["block"].unique()],
            notes=[note for note in (paper.note, shown.note) if note],
        )

    def similar(self) -> tuple[list[Part], list[str]]:
        """Blocks with the data set, model and methods of published columns, but another schedule or setting;
        and the words of those that there is no room for."""
        parts: list[Part] = []
        names: list[str] = []
        found = self.report.resembling
        for number, some in found[found["common"] > 0].groupby("block", sort=False):
            block = self.report.block(number)
            lines = set(block["fingerprint"])
            if lines <= self._told and (some["common"] < 2).all():
                continue  # they stand above already, and there is nothing to add
            self._told |= lines
            first = block.iloc[0]
            if len(parts) >= limits.COLUMNS:
                names.append(first["words"])
                continue
            made = [self.tables.plain(block), orders(some)]
            name = f"column-{line_id(first['rows'][0])}"
            parts.append(Part(name, first["words"], self._column(block, made)))
        return parts, names

    def others(self) -> Iterator[DataFrame]:
        """Blocks of our own, with the lines that stand in no section so far."""
        lines = self.report.lines
        for _, block in lines[~lines["fingerprint"].isin(self._told)].groupby("block"):
            yield block

    def other(self, block: DataFrame) -> Part:
        """The section of one of `others`."""
        first = block.iloc[0]
        made = self._column(self.report.block(first["block"]), [self.tables.plain(block)])
        return Part(f"line-{line_id(first['rows'][0])}", first["words"], made)

    def _column(self, block: DataFrame, tables: Sequence[Markup]) -> Markup:
        """Notes, seeds and curves of our own numbers; the plots only the first time."""
        number, shown = int(block["block"].iloc[0]), limits.best(block, limits.PICTURED)
        said = f"{SEEDS_TITLE}: {listed(shown['method'])}"
        seeds = None if number in self._drawn else self.page_pictures.show(seeds_picture(shown), said)
        return render(
            "column",
            tables=Markup("\n").join(tables),
            notes=block["notes"].iloc[0],
            seeds=seeds,
            curves=self._curves(number),
        )

    def _curves(self, number: int) -> Markup:
        block = self.report.block(number)
        shown, first, picture = limits.best(block, limits.PICTURED), block.iloc[0], None
        again = number in self._drawn
        self._drawn.add(number)
        if not again:
            said = f"By epoch: {listed(shown['method'])}"
            picture = self.page_pictures.show(curves_picture(self.report.curves(shown)), said)
        name, left_out = f"curves-{line_id(first['rows'][0])}", fewer(block, shown)
        return render(
            "curves", id=name, words=first["words"], again=again, picture=picture, left_out=left_out
        )


def fewer(block: DataFrame, shown: DataFrame) -> str:
    """What a picture of a block leaves out; nothing where it shows all."""
    rest = len(block) - len(shown)
    return (
        f"Pictures show the {len(shown)} methods with the lowest mean error; {rest:,} are left out."
        if rest
        else ""
    )


def gathered(parts: Iterable[Part], names: Sequence[str] = ()) -> Markup | None:
    """Parts of one section, each under its own head, and the names of those that there is no room for."""
    parts = list(parts)
    unnamed = max(0, len(names) - limits.COLUMNS)
    if not parts:
        return None
    return render("gathered", parts=parts, names=names[: limits.COLUMNS], unnamed=unnamed)


def probe_section(report: Report, page_pictures: PagePictures) -> Markup | None:
    """Each column's pictures of what probes found, but for the learning curves, which stand elsewhere."""
    shown, left_out = [], []
    kinds = [kind for kind in KINDS.values() if kind.probe]
    for (_, words), block in report.lines.groupby(["block", "words"]):
        if not _is_probed(block):
            continue
        if page_pictures.drawn >= limits.PICTURES or page_pictures.size >= limits.PICTURE_BYTES:
            left_out.append(words)
            continue
        best = limits.best(block, limits.PICTURED)
        methods = probed(best)
        pictures = [picture for kind in kinds if (picture := kind.picture(methods))]
        said = f"{words}: {listed(best['method'])}"
        drawn = [page_pictures.show(picture, said, title=True) for picture in pictures]
        if drawn:
            shown.append((words, drawn, fewer(block, best)))
    named = left_out[: limits.COLUMNS]
    return render("probes", blocks=shown, left_out=named) if shown or left_out else None


def frontier_section(report: Report, page_pictures: PagePictures) -> Markup | None:
    """Error against cost of everything at hand, where two lines share data set and network."""
    frontier = frontier_frame(report.lines)
    kept = frontier["group"].isin(frontier["group"].value_counts().index[: limits.PANELS])
    frontier = frontier[kept & (frontier.groupby("group").cumcount() < limits.LINES)]
    shown = page_pictures.show(frontier_picture(frontier, "steps"), listed(frontier["method"]))
    if shown is None:
        return None
    tables = [_grid(grid) for grid in frontier_grids(frontier, "steps") if len(grid.table) > 2]
    return Markup("\n").join([shown, *tables])


def _grid(grid: Grid) -> Markup:
    words = grid.table.itertuples(index=False, name=None)
    lines = [TableRow([(word, "") for word in line]) for line in words]
    return html_table(grid.title, tuple(grid.table), [("", lines)])


def _is_probed(block: DataFrame) -> bool:
    """By what lies in its rows, or in the folders beside them."""
    probes = tuple(f"{kind.probe}/" for kind in KINDS.values() if kind.probe)
    rows = [row for each in block["rows"] for row in each]
    told = any(key.startswith(probes) for row in rows for key in row.metrics)
    return told or any(row.path.name == "row.json" and (row.path.parent / "probes").is_dir() for row in rows)


def galleries(report: Report) -> Markup:
    """Mixed images by data set and method; methods without any are named with the reason."""
    examples = report.examples()
    groups = []
    for dataset, some in examples[: limits.EXAMPLES].groupby("dataset", sort=False):
        drawn = Series([isinstance(each, Gallery) for each in some["gallery"]], some.index)
        shown = [(each.method, show(each.gallery)) for each in some[drawn].itertuples()]
        reasons = some[~drawn].groupby("gallery", sort=False)["method"]
        groups.append((dataset, shown, [(reason, listed(methods)) for reason, methods in reasons]))
    rest = len(examples) - limits.EXAMPLES
    said = f"{rest:,} more methods are left out to keep this page small." if rest > 0 else ""
    return render("galleries", groups=groups, left_out=said)
