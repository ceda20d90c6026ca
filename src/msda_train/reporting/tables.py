"""Tables of the page: published beside ours, orders of methods, and rows without a published number."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup
from pandas import DataFrame, Series

from msda_train.comparison.cell_words import RULES, protocol_words
from msda_train.comparison.compare import RESEMBLED
from msda_train.comparison.table import Stat
from msda_train.records.published import RISING
from msda_train.records.rows import Row
from msda_train.records.summary import METRICS
from msda_train.reporting import limits
from msda_train.reporting.evidence import line_id
from msda_train.reporting.number_words import (
    METRIC_TITLES,
    many,
    metric_title,
    published_words,
    stat_words,
    told_apart,
)
from msda_train.reporting.table_view import NONE
from msda_train.reporting.template import render

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


def html_table(
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

    def comparison(self, cells: DataFrame) -> Markup:
        """All cells of a published table, in its order, a group for each column of the paper."""
        heads = ("method", "metric", "published", "ours", "difference", "protocol", "verdict", "runs")
        columns = groupby(cells.itertuples(), key=lambda line: (line.dataset, line.model))
        groups = [(", ".join(place), list(map(self._cell, lines))) for place, lines in columns]
        name = cells["table_name"].iloc[0]
        return html_table(f"{name} and our runs of exactly its configurations", heads, groups)

    def _cell(self, line: Any) -> TableRow:
        """`line`: of `compare`."""
        cell, digits = line.cell, max(line.digits, 2)
        verdict = render("small", kind="verdict", badge=badge(line.verdict), sentence=line.sentence)
        return TableRow(
            [
                (render("small", kind="label", words=cell.label, setting=told_apart(cell)), ""),
                (metric_title(cell.metric, cell.unit), "word"),
                (published_words(cell), "number"),
                (stat_words(line.ours, digits) if line.ours else NONE, "number"),
                (NONE if line.difference is None else f"{line.difference:+.{digits}f}", "number"),
                (protocol_words(cell), "word"),
                (verdict, ""),
                (self.link(line.rows) if line.rows else NONE, "word"),
            ],
            id=f"cell-{line.id.replace('/', '-')}",
            quiet=not line.rows,
        )

    def plain(self, block: DataFrame) -> Markup:
        """Our numbers alone."""
        rules = [f"error, %: {words}" for words in RULES.values()]
        heads = ("method", *rules, "top-5 error, %: last", "NLL, nats: last", "images/s", "runs")
        keys = [*(f"error/{rule}" for rule in RULES), *(f"{metric}/last" for metric in METRICS[1:])]
        shown = limits.best(block, limits.LINES)
        columns = [
            [(method, "") for method in shown["method"]],
            *([(_in_unit(stat, key), "number") for stat in shown[key]] for key in keys),
            [(f"{speed:,.0f}", "number") for speed in shown["images_per_second"]],
            [(self.link(rows), "word") for rows in shown["rows"]],
        ]
        rest = len(block) - len(shown)
        said = (
            f"The {len(shown)} methods with the lowest mean test error of the last epoch; {rest:,} more are "
            "left out to keep this page small. msda-table lists them all."
        )
        caption = f"Mean ± standard deviation over seeds; {block['facts'].iloc[0]}"
        lines = [TableRow(cells) for cells in zip(*columns, strict=True)]
        return html_table(caption, heads, [("", lines)], left_out=said if rest else "")


def orders(found: DataFrame) -> Markup:
    """In which order our runs and the paper's put the methods they share: a block of `resembling`. Of another
    schedule nothing else may be compared, so no difference and no verdict stands here."""
    heads = (
        *("published table", "ranked by", "methods", "Kendall's tau"),
        *("our order, best first", "the paper's"),
    )
    known = found[(found["common"] > 1) & found["theirs"].notna()]
    if known.empty:
        said = "Published columns resemble this one, but have too few of its methods to compare an order."
        return render("left_out", words=said)
    caption = "Not the paper's configuration: only the order of methods compares"
    lines = [_order(some) for _, some in known.groupby(RESEMBLED, sort=False)]
    return html_table(caption, heads, [("", lines)])


def _order(some: DataFrame) -> TableRow:
    line = some.iloc[0]
    cell = line["first"]
    metric = METRIC_TITLES.get(cell.metric, cell.metric)
    rule = RULES.get(cell.compared_with.split("/")[-1], cell.compared_with)
    labels = Series([each.label for each in some["theirs"]])
    values = Series([stat.mean for stat in some["ours"]]), Series([each.value for each in some["theirs"]])
    best = [
        labels[each.sort_values(ascending=cell.metric not in RISING, kind="stable").index] for each in values
    ]
    return TableRow(
        [
            (f"{cell.paper}, {cell.table_name}", ""),
            (f"{metric}: {rule}", "word"),
            (len(some), "number"),
            (NONE if line["tau"] is None else f"{line['tau']:+.2f}", "number"),
            *((", ".join(each), "words") for each in best),
        ]
    )


def _in_unit(stat: Stat, key: str) -> str:
    return stat_words(stat, 4) if key.startswith("nll") else stat_words(stat, 2, 100)
