"""The report: one HTML file that needs no server, no network and no script."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from msda_train.comparison.compare import TableView
from msda_train.comparison.verdict import WORDS
from msda_train.records.external_results import foreign_table
from msda_train.reporting import limits
from msda_train.reporting.book import Book
from msda_train.reporting.evidence import evidence, line_id
from msda_train.reporting.frames import Frames
from msda_train.reporting.origin import makers
from msda_train.reporting.sections import Drawer, Part, galleries, gathered, probe_section
from msda_train.reporting.tables import TableRow, Tables, badge, table
from msda_train.reporting.template import render, text_of


def html(book: Book) -> str:
    """The whole page. Of thousands of runs it shows what `limits` say, and says what it leaves out."""
    script = text_of("page.js")
    cells = [each for view in book.views for each in view.cells]
    counts = Counter(each.verdict.word for each in cells)
    facts = [
        (len(book.rows), "runs"),
        (sum(bool(each.rows) for each in cells), "published numbers with runs"),
        (sum(each.verdict.low is not None for each in cells), "compared by an interval"),
        (len(cells), "published numbers"),
        (len(book.views), "published tables"),
    ]
    sections, limited = _sections(book)
    page = render(
        "page",
        allowed=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(text_of("page.css")),
        script=Markup(script),
        facts=facts,
        badges=[badge(word, counts[word]) for word in WORDS if counts[word]],
        made=book.made,
        origin=book.origin,
        makers=makers(book.rows),
        limited=limited,
        any_runs=bool(book.rows),
        complaints=book.complaints[: limits.COMPLAINTS],
        complaints_count=len(book.complaints),
        sections=sections,
    )
    return f"{page}\n"


def _sections(book: Book) -> tuple[list[Part], list[str]]:
    """The sections, and what they leave out of so many runs."""
    frames = Frames()
    drawer = Drawer(book, frames, Tables({line_id(line.rows[0]) for _, line in book.evident}))
    published = list(drawer.published())
    similar = gathered(*drawer.similar())
    columns = list(drawer.others())
    others = gathered(
        (drawer.other(*each) for each in columns[: limits.COLUMNS]),
        [block.words for _, block in columns[limits.COLUMNS :]],
    )
    candidates = [
        ("similar", "Other schedules and settings", similar),
        ("others", "Columns of no published table", others),
        ("probes", "Probes", probe_section(book, frames)),
        ("foreign", "Rows of other programs", _foreign(book)),
        ("images", "Mixed images", galleries(book) if book.rows else None),
        ("runs", "Configurations, environments, histories", evidence(book) if book.rows else None),
        ("rest", "Published tables without runs", _rest(book.views)),
    ]
    made = published + [Part(name, title, content) for name, title, content in candidates if content]
    return made, _limited(book, frames)


def _limited(book: Book, frames: Frames) -> list[str]:
    lines = max((len(block.lines) for block in book.blocks.values()), default=0)
    said = []
    if lines > limits.PICTURED:
        said.append(
            f"There are up to {lines:,} methods in one column: tables without published numbers show the "
            f"{limits.LINES} with the lowest mean error, pictures {limits.PICTURED} of them; "
            "msda-table lists them all."
        )
    if frames.left_out:
        said.append(f"{frames.left_out:,} pictures are left out to keep this page small.")
    return said


def _foreign(book: Book) -> Markup | None:
    return render("foreign", table=foreign_table(book.external)) if book.external else None


def _rest(views: Sequence[TableView]) -> Markup | None:
    """Counts only."""
    body = []
    for view in views:
        if any(each.rows for each in view.cells):
            continue
        counts = Counter(each.verdict.word for each in view.cells)
        said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        what = f"{view.table.name}: {view.table.caption}"
        body.append(TableRow([(f"{view.paper.key}/{view.table.id}", ""), (what, ""), (said, "")]))
    heads = ("table", "what it is", "cells")
    return table("Nothing here was run", heads, [("", body)]) if body else None
