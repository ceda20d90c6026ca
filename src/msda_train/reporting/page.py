"""The report: one HTML file that needs no server, no network and no script."""

import base64
import hashlib

from markupsafe import Markup
from pandas import DataFrame

from msda_train.comparison.compare import TABLE
from msda_train.comparison.verdict import WORDS
from msda_train.records.external_results import foreign_table
from msda_train.reporting import limits
from msda_train.reporting.evidence import evidence, line_id
from msda_train.reporting.origin import makers
from msda_train.reporting.page_pictures import PagePictures
from msda_train.reporting.report import Report
from msda_train.reporting.sections import Drawer, Part, frontier_section, galleries, gathered, probe_section
from msda_train.reporting.tables import TableRow, Tables, badge, html_table
from msda_train.reporting.template import render, text_of


def html(report: Report) -> str:
    """The whole page. Of thousands of runs it shows what `limits` say, and says what it leaves out."""
    script = text_of("page.js")
    found = report.compared
    counts = found["verdict"].value_counts()
    facts = [
        (len(report.rows), "runs"),
        (int(found["block"].notna().sum()), "published numbers with runs"),
        (int(found["low"].notna().sum()), "compared by an interval"),
        (len(found), "published numbers"),
        (len(found.groupby(TABLE)), "published tables"),
    ]
    sections, limited = _sections(report)
    page = render(
        "page",
        allowed=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(text_of("page.css")),
        script=Markup(script),
        facts=facts,
        badges=[badge(word, counts[word]) for word in WORDS if word in counts],
        made=report.made,
        origin=report.origin,
        makers=makers(report.rows),
        limited=limited,
        any_runs=bool(report.rows),
        complaints=report.complaints[: limits.COMPLAINTS],
        complaints_count=len(report.complaints),
        sections=sections,
    )
    return f"{page}\n"


def _sections(report: Report) -> tuple[list[Part], list[str]]:
    """The sections, and what they leave out of so many runs."""
    page_pictures = PagePictures()
    drawer = Drawer(report, page_pictures, Tables({line_id(rows[0]) for rows in report.evident["rows"]}))
    published = list(drawer.published())
    similar = gathered(*drawer.similar())
    blocks = list(drawer.others())
    others = gathered(
        map(drawer.other, blocks[: limits.COLUMNS]),
        [block["words"].iloc[0] for block in blocks[limits.COLUMNS :]],
    )
    candidates = [
        ("similar", "Other schedules and settings", similar),
        ("others", "Columns of no published table", others),
        ("frontier", "Error against cost", frontier_section(report, page_pictures)),
        ("probes", "Probes", probe_section(report, page_pictures)),
        ("foreign", "Rows of other programs", _foreign(report)),
        ("images", "Mixed images", galleries(report) if report.rows else None),
        ("runs", "Configurations, environments, histories", evidence(report) if report.rows else None),
        ("rest", "Published tables without runs", _rest(report.compared)),
    ]
    made = published + [Part(name, title, content) for name, title, content in candidates if content]
    return made, _limited(report, page_pictures)


def _limited(report: Report, page_pictures: PagePictures) -> list[str]:
    lines = max(report.lines.groupby("block").size(), default=0)
    said = []
    if lines > limits.PICTURED:
        said.append(
            f"There are up to {lines:,} methods in one column: tables without published numbers show the "
            f"{limits.LINES} with the lowest mean error, pictures {limits.PICTURED} of them; "
            "msda-table lists them all."
        )
    if page_pictures.left_out:
        said.append(f"{page_pictures.left_out:,} pictures are left out to keep this page small.")
    return said


def _foreign(report: Report) -> Markup | None:
    return render("foreign", table=foreign_table(report.external)) if report.external else None


def _rest(compared: DataFrame) -> Markup | None:
    """Counts only."""
    body = []
    for (paper, table), cells in compared.groupby(TABLE, sort=False):
        if cells["block"].notna().any():
            continue
        counts = cells["verdict"].value_counts()
        said = ", ".join(f"{counts[word]} {word}" for word in WORDS if word in counts)
        known = cells["in_table"].iloc[0]
        body.append(TableRow([(f"{paper}/{table}", ""), (f"{known.name}: {known.caption}", ""), (said, "")]))
    heads = ("table", "what it is", "cells")
    return html_table("Nothing here was run", heads, [("", body)]) if body else None
