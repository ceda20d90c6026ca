"""Tables of the page: published beside ours, orders of methods, and rows without a published number."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from msda_train.comparison.cell_words import RULES, protocol_words
from msda_train.comparison.compare import CellView, ShortBlock, TableView
from msda_train.comparison.table import Block, Line, Stat
from msda_train.records.published import RISING
from msda_train.records.rows import Row
from msda_train.records.summary import METRICS
from msda_train.reporting import limits
from msda_train.reporting.evidence import line_id
from msda_train.reporting.table_view import NONE
from msda_train.reporting.template import render
from msda_train.reporting.words import (
    METRIC_TITLES,
    many,
    metric_title,
    published_words,
    stat_words,
    told_apart,
)

# Besides colour, a sign: and the word itself stands beside it.
SIGNS = {"reproduced": "=", "better": "▲", "worse": "▼", "inconclusive": "?", "single run": "•"}

Cell = tuple[object, str]  # content and class


@dataclass(frozen=True)
class TableRow:
    """Of a table of the page; the first cell is its head."""

    cells: Sequence[Cell]
    id: str = ""
    quiet: bool = False


def badge(word: str, count: int | None = None) -> Markup:
    """A verdict as a small label; with a count, how many cells have it."""
    shown = word if count is None else f"{count:,} {word}"
    return render("small", kind="badge", word=word, sign=SIGNS.get(word, NONE), shown=shown)


def table(
    caption: str,
    heads: Sequence[str],
    groups: Iterable[tuple[str, Sequence[TableRow]]],
    *,
    sortable: bool = True,
    left_out: str = "",
) -> Markup:
    """A table in a box of its own; groups are rows under a head of their own, or under none."""
    groups = list(groups)
    return render("table", caption=caption, heads=heads, groups=groups, sortable=sortable, left_out=left_out)


@dataclass(frozen=True)
class Tables:
    """`ids` are of the lines that the page can be asked for in full."""

    ids: Set[str]

    def link(self, rows: Sequence[Row]) -> str | Markup:
        """To the configuration of `rows`, which are one line of a table."""
        words, name = many(len(rows), "run"), line_id(rows[0])
        return render("small", kind="link", id=name, words=words) if name in self.ids else words

    def comparison(self, view: TableView) -> Markup:
        """All cells of a published table, in its order, a group for each column of the paper."""
        heads = ("method", "metric", "published", "ours", "difference", "protocol", "verdict", "runs")
        columns = groupby(view.cells, key=lambda each: (each.cell.dataset, each.cell.model))
        groups = [(", ".join(place), [self._cell(each) for each in views]) for place, views in columns]
        return table(f"{view.table.name} and our runs of exactly its configurations", heads, groups)

    def _cell(self, view: CellView) -> TableRow:
        cell, verdict = view.cell, view.verdict
        digits = max(cell.digits, 2)
        return TableRow(
            [
                (render("small", kind="label", words=cell.label, setting=told_apart(cell)), ""),
                (metric_title(cell.metric, cell.unit), "word"),
                (published_words(cell), "number"),
                (stat_words(view.ours, digits) if view.ours else NONE, "number"),
                (NONE if verdict.difference is None else f"{verdict.difference:+.{digits}f}", "number"),
                (protocol_words(cell), "word"),
                (render("small", kind="verdict", badge=badge(verdict.word), sentence=verdict.sentence), ""),
                (self.link(view.rows) if view.rows else NONE, "word"),
            ],
            id=f"cell-{view.id.replace('/', '-')}",
            quiet=not view.rows,
        )

    def plain(self, block: Block) -> Markup:
        """Our numbers alone."""
        rules = [f"error, %: {words}" for words in RULES.values()]
        heads = ("method", *rules, "top-5 error, %: last", "NLL, nats: last", "images/s", "runs")
        shown = limits.best(block, limits.LINES)
        rest = len(block.lines) - len(shown)
        said = (
            f"The {len(shown)} methods with the lowest mean test error of the last epoch; {rest:,} more are "
            "left out to keep this page small. msda-table lists them all."
        )
        caption = f"Mean ± standard deviation over seeds; {block.facts}"
        return table(
            caption, heads, [("", [self._line(line) for line in shown])], left_out=said if rest else ""
        )

    def _line(self, line: Line) -> TableRow:
        keys = [*(f"error/{rule}" for rule in RULES), *(f"{metric}/last" for metric in METRICS[1:])]
        return TableRow(
            [
                (line.method, ""),
                *((_in_unit(line.metrics[key], key), "number") for key in keys),
                (f"{line.images_per_second:,.0f}", "number"),
                (self.link(line.rows), "word"),
            ]
        )


def orders(found: Iterable[tuple[TableView, ShortBlock]]) -> Markup:
    """In which order our runs and the paper's put the methods they share. Of another schedule nothing else
    may be compared, so no difference and no verdict stands here."""
    heads = (
        *("published table", "ranked by", "methods", "Kendall's tau"),
        *("our order, best first", "the paper's"),
    )
    known = [_order(view, block) for view, block in found if block.common > 1]
    if not known:
        said = "Published columns resemble this one, but have too few of its methods to compare an order."
        return render("left_out", words=said)
    caption = "Not the paper's configuration: only the order of methods compares"
    return table(caption, heads, [("", known)])


def _order(view: TableView, block: ShortBlock) -> TableRow:
    metric = METRIC_TITLES.get(block.metric, block.metric)
    rule = RULES.get(block.protocol.split("/")[-1], block.protocol)
    pairs = [(line.ours.mean, line.cell.value, line.cell.label) for line in block.lines if line.cell]
    best_is_largest = block.metric in RISING
    return TableRow(
        [
            (f"{view.paper.key}, {view.table.name}", ""),
            (f"{metric}: {rule}", "word"),
            (len(pairs), "number"),
            (NONE if block.tau is None else f"{block.tau:+.2f}", "number"),
            *((", ".join(_labels(pairs, place, reverse=best_is_largest)), "words") for place in (0, 1)),
        ]
    )


def _labels(pairs: Sequence[tuple[float, float, str]], place: int, *, reverse: bool) -> list[str]:
    return [pair[2] for pair in sorted(pairs, key=lambda pair: pair[place], reverse=reverse)]


def _in_unit(stat: Stat, key: str) -> str:
    if key.startswith("nll"):
        return stat_words(stat, 4)
    return stat_words(Stat(100 * stat.mean, None if stat.std is None else 100 * stat.std, stat.n), 2)
