"""The report: one HTML file that needs no server, no network and no script."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msda_train.report.book import Book
from msda_train.report.evidence import evidence
from msda_train.report.markup import Markup, join, tag
from msda_train.report.origin import makers
from msda_train.report.probe_plots import probe_section
from msda_train.report.sections import Drawer, Part, galleries
from msda_train.report.svg import PLOT_STYLE
from msda_train.report.tables import badge, scrolling
from msda_train.report.words import many
from msda_train.results.compare import TableView
from msda_train.results.foreign import foreign_table
from msda_train.results.verdict import WORDS

LARGEST_PAGE = 5_000_000  # bytes
PAGE_STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")

# A link to a folded part shows it closed; this unfolds it. Without it one click more is needed.
_SCRIPT = """
const unfold = () => {
  for (let e = document.getElementById(location.hash.slice(1)); e; e = e.parentElement)
    if (e.tagName === "DETAILS") e.open = true;
};
addEventListener("hashchange", unfold);
unfold();
"""


@dataclass(frozen=True)
class Detail:
    """How much of each run the page carries."""

    epochs: int  # listed
    points: int  # drawn
    images: bool
    probes: bool


# The first that fits into LARGEST_PAGE is taken: a few runs are shown in full, a thousand in less detail.
DETAILS = (
    Detail(40, 160, images=True, probes=True),
    Detail(12, 60, images=True, probes=True),
    Detail(4, 24, images=False, probes=True),
    Detail(0, 2, images=False, probes=False),
)


def html(book: Book) -> str:
    """The whole page, in the finest detail that fits."""
    probes = probe_section(list(book.blocks.values()))
    for detail in DETAILS:
        page = _page(book, detail, probes)
        if len(page.encode("utf-8")) <= LARGEST_PAGE:
            break
    return page


def _page(book: Book, detail: Detail, probes: Markup | None) -> str:
    sections = _sections(book, detail, probes)
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in sections]
    body = tag(
        "body",
        tag("a", "To the content", href="#content", class_="skip"),
        tag("header", tag("h1", "Published numbers and ours"), _summary(book)),
        tag("nav", tag("ul", links), aria_label="Sections"),
        tag("main", [_section(*each) for each in sections], id="content"),
        tag("script", Markup(_SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(), body, lang='en')}\n"


def _head() -> Markup:
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    # Rows are from anywhere. All their text is escaped; this is the second lock: nothing can be loaded.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "msda-train: published numbers and ours"),
        tag("style", Markup(PLOT_STYLE + PAGE_STYLE)),
    )


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title, id=name), content, aria_labelledby=name)


def _sections(book: Book, detail: Detail, probes: Markup | None) -> list[Part]:
    drawer = Drawer(book, detail.points)
    published = list(drawer.published())
    similar, others = (_gathered(parts) for parts in (drawer.similar(), drawer.others()))
    blocks = list(book.blocks.values())
    runs = evidence(blocks, lambda row: book.histories[row.key], detail.epochs)
    left_out = tag("p", "Left out to keep this file small.")
    images = galleries(book) if detail.images else left_out
    foreign = tag("pre", foreign_table(book.foreign), tabindex="0") if book.foreign else None
    rest = _rest([view for view in book.views if not any(each.rows for each in view.cells)])
    candidates = [
        ("similar", "Other schedules and settings", similar),
        ("others", "Columns of no published table", others),
        ("probes", "Probes", probes if detail.probes or not probes else left_out),
        ("foreign", "Rows of other programs", foreign),
        ("images", "Mixed images", images if book.rows else None),
        ("runs", "Configurations, environments, histories", runs if book.rows else None),
        ("rest", "Published tables without runs", rest),
    ]
    return published + [(name, title, content) for name, title, content in candidates if content]


def _gathered(parts: Iterable[Part]) -> Markup:
    """Parts of one section, each under its own head."""
    return join([join(tag("h3", title, id=name), content) for name, title, content in parts])


def _summary(book: Book) -> Markup:
    cells = [each for view in book.views for each in view.cells]
    counts = Counter(each.verdict.word for each in cells)
    facts = [
        (len(book.rows), "runs"),
        (sum(bool(each.rows) for each in cells), "published numbers with runs"),
        (sum(each.verdict.low is not None for each in cells), "compared by an interval"),
        (len(cells), "published numbers"),
        (len(book.views), "published tables"),
    ]
    made = tag("time", f"{book.made:%Y-%m-%d %H:%M} UTC", datetime=book.made.isoformat(timespec="seconds"))
    complaints = tag("ul", [tag("li", complaint) for complaint in book.complaints])
    return join(
        tag("ul", [tag("li", tag("b", f"{count:,}"), f" {words}") for count, words in facts], class_="facts"),
        tag("ul", [tag("li", badge(word, counts[word])) for word in WORDS if counts[word]], class_="badges"),
        tag(
            "p",
            "Made ",
            made,
            f" by {book.origin or 'msda-train'}. {makers(book.rows)}",
            class_="note",
        ),
        None
        if book.rows
        else tag("p", "There are no runs yet. ", tag("code", "msda-train method=erm"), " makes one."),
        tag(
            "details",
            tag("summary", f"{many(len(book.complaints), 'file')} not used or in doubt"),
            complaints,
        )
        if book.complaints
        else None,
    )


def _rest(views: Sequence[TableView]) -> Markup | None:
    """Counts only."""
    body = []
    for view in views:
        counts = Counter(each.verdict.word for each in view.cells)
        said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        name = tag("th", f"{view.paper.key}/{view.table.id}", scope="row")
        body.append(tag("tr", name, tag("td", f"{view.table.name}: {view.table.caption}"), tag("td", said)))
    return (
        scrolling("Nothing here was run", ("table", "what it is", "cells"), [tag("tbody", body)])
        if body
        else None
    )
