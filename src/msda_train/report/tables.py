"""Tables of the page: published beside ours, orders of methods, and rows without a published number."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msda_train.report.evidence import link
from msda_train.report.markup import Markup, tag
from msda_train.report.words import (
    METRIC_TITLES,
    RULES,
    metric_title,
    protocol_words,
    published_words,
    stat_words,
    told_apart,
)
from msda_train.results.compare import CellView, ShortBlock, TableView
from msda_train.results.published import RISING
from msda_train.results.shown import NONE
from msda_train.results.summary import METRICS
from msda_train.results.table import Block, Line, Stat

# Besides colour, a sign: and the word itself stands beside it.
SIGNS = {"reproduced": "=", "better": "▲", "worse": "▼", "inconclusive": "?", "single run": "•"}


def badge(word: str, count: int | None = None) -> Markup:
    """A verdict as a small label; with a count, how many cells have it."""
    sign = SIGNS.get(word, NONE)
    shown = word if count is None else f"{count:,} {word}"
    classes = f"badge {word.replace(' ', '-')}"
    return tag("span", tag("span", sign, aria_hidden="true"), " ", shown, class_=classes)


def scrolling(caption: str, heads: Sequence[str], bodies: Iterable[Markup]) -> Markup:
    """A table in a box of its own, which scrolls, by keyboard too, where the page is narrower."""
    head = tag("thead", tag("tr", [tag("th", word, scope="col") for word in heads]))
    table = tag("table", tag("caption", tag("span", caption)), head, list(bodies))
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)


def comparison(view: TableView) -> Markup:
    """All cells of a published table, in its order, a group for each column of the paper."""
    heads = ("method", "metric", "published", "ours", "difference", "protocol", "verdict", "runs")
    bodies = []
    for place, views in groupby(view.cells, key=lambda each: (each.cell.dataset, each.cell.model)):
        title = tag("tr", tag("th", tag("span", ", ".join(place)), colspan=len(heads), scope="rowgroup"))
        bodies.append(tag("tbody", title, [_cell(each) for each in views]))
    return scrolling(f"{view.table.name} and our runs of exactly its configurations", heads, bodies)


def _cell(view: CellView) -> Markup:
    cell, verdict = view.cell, view.verdict
    digits = max(cell.digits, 2)
    apart = told_apart(cell)
    setting = tag("span", apart, class_="setting") if apart else None
    difference = NONE if verdict.difference is None else f"{verdict.difference:+.{digits}f}"
    return tag(
        "tr",
        tag("th", cell.label, setting, scope="row"),
        tag("td", metric_title(cell.metric, cell.unit), class_="word"),
        tag("td", published_words(cell), class_="number"),
        tag("td", stat_words(view.ours, digits) if view.ours else NONE, class_="number"),
        tag("td", difference, class_="number"),
        tag("td", protocol_words(cell), class_="word"),
        tag("td", badge(verdict.word), tag("span", verdict.sentence, class_="sentence")),
        tag("td", link(view.rows) if view.rows else NONE, class_="word"),
        id=f"cell-{view.id.replace('/', '-')}",
        class_=None if view.rows else "quiet",
    )


def orders(found: Iterable[tuple[TableView, ShortBlock]]) -> Markup:
    """In which order our runs and the paper's put the methods they share. Of another schedule nothing else
    may be compared, so no difference and no verdict stands here."""
    heads = (
        "published table",
        "ranked by",
        "methods",
        "Kendall's tau",
        "our order, best first",
        "the paper's",
    )
    known = [_order(view, block) for view, block in found if block.common > 1]
    if not known:
        return tag(
            "p", "Published columns resemble this one, but have too few of its methods to compare an order."
        )
    body = tag("tbody", known)
    return scrolling("Not the paper's configuration: only the order of methods compares", heads, [body])


def _order(view: TableView, block: ShortBlock) -> Markup:
    metric = METRIC_TITLES.get(block.metric, block.metric)
    rule = RULES.get(block.protocol.split("/")[-1], block.protocol)
    pairs = [(line.ours.mean, line.cell.value, line.cell.label) for line in block.lines if line.cell]
    best_is_largest = block.metric in RISING
    return tag(
        "tr",
        tag("th", f"{view.paper.key}, {view.table.name}", scope="row"),
        tag("td", f"{metric}: {rule}", class_="word"),
        tag("td", len(pairs), class_="number"),
        tag("td", NONE if block.tau is None else f"{block.tau:+.2f}", class_="number"),
        *(
            tag("td", ", ".join(_labels(pairs, place, reverse=best_is_largest)), class_="words")
            for place in (0, 1)
        ),
    )


def _labels(pairs: Sequence[tuple[float, float, str]], place: int, *, reverse: bool) -> list[str]:
    return [pair[2] for pair in sorted(pairs, key=lambda pair: pair[place], reverse=reverse)]


def plain(block: Block) -> Markup:
    """Our numbers alone."""
    rules = [f"error, %: {words}" for words in RULES.values()]
    heads = ("method", *rules, "top-5 error, %: last", "NLL, nats: last", "images/s", "runs")
    return scrolling(
        f"Mean ± standard deviation over seeds; {block.facts}",
        heads,
        [tag("tbody", [_plain_line(line) for line in block.lines])],
    )


def _plain_line(line: Line) -> Markup:
    keys = [*(f"error/{rule}" for rule in RULES), *(f"{metric}/last" for metric in METRICS[1:])]
    return tag(
        "tr",
        tag("th", line.method, scope="row"),
        [tag("td", _in_unit(line.metrics[key], key), class_="number") for key in keys],
        tag("td", f"{line.images_per_second:,.0f}", class_="number"),
        tag("td", link(line.rows), class_="word"),
    )


def _in_unit(stat: Stat, key: str) -> str:
    if key.startswith("nll"):
        return stat_words(stat, 4)
    return stat_words(Stat(100 * stat.mean, None if stat.std is None else 100 * stat.std, stat.n), 2)
