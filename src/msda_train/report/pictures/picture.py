"""A picture: panels under one title with a legend and notes, as a drawing for a file and as a page's part."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msda_train.report.curves import Curve, legend_in_file, legend_in_page
from msda_train.report.markup import Markup, join, tag
from msda_train.report.svg import Drawing, at, beside, on_page, stacked, text

MARGIN = 16.0
_ROW = 848.0  # as wide as two large panels
_LETTER = 6.6  # width of one, on the safe side


@dataclass(frozen=True)
class Panel:
    caption: str  # what is shown
    drawing: Drawing


@dataclass(frozen=True)
class Picture:
    """`legend`: what colours, dashes and shapes mean; empty where the notes say it."""

    title: str
    panels: tuple[Panel, ...]
    legend: tuple[Curve, ...]
    notes: tuple[str, ...] = ()
    columns: int | None = None  # panels side by side in a file; None: as many as fit


def in_file(picture: Picture, context: str) -> Drawing:
    """Title, `context` (which runs), legend, panels in rows, notes."""
    plots = stacked(*(beside(*_captioned(row)) for row in _rows(picture)))
    width = max(plots.width, 400)
    parts = [stacked(_lines(picture.title, width, "name"), _lines(context, width, "tick"), gap=4)]
    if picture.legend:
        fit = int((width - 44) / _LETTER)
        legend = [replace(each, label=clipped(each.label, fit)) for each in picture.legend]
        parts.append(legend_in_file(legend, width))
    parts.append(plots)
    if picture.notes:
        parts.append(stacked(*(_lines(note, width, "tick") for note in picture.notes), gap=2))
    return stacked(*parts, gap=12)


def _rows(picture: Picture) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    room = 0.0
    for panel in picture.panels:
        room -= panel.drawing.width + MARGIN
        if not rows or (room < 0 if picture.columns is None else len(rows[-1]) == picture.columns):
            rows.append([])
            room = _ROW - panel.drawing.width
        rows[-1].append(panel)
    return rows


def _captioned(row: Sequence[Panel]) -> list[Drawing]:
    """Each below its caption; captions of one row take the same room, so that the axes lie on one level."""
    captions = [_lines(panel.caption, panel.drawing.width, "head") for panel in row]
    room = max(caption.height for caption in captions)
    level = [Drawing(each.width, room, each.marks) for each in captions]
    return [stacked(a, panel.drawing, gap=6) for a, panel in zip(level, row, strict=True)]


def on_paper(drawing: Drawing) -> Drawing:
    """With a margin on each side."""
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN
    return Drawing(width, height, at(MARGIN, MARGIN, drawing.marks))


def in_page(picture: Picture, *, legend: bool) -> Markup:
    """Its title, its panels as figures that go side by side, and its notes."""
    figures = [
        tag(
            "figure",
            tag("figcaption", panel.caption) if panel.caption else None,
            on_page(panel.drawing, f"{picture.title}. {panel.caption}"),
        )
        for panel in picture.panels
    ]
    return join(
        tag("h4", picture.title),
        legend_in_page(picture.legend) if legend and picture.legend else None,
        tag("div", figures, class_="plots"),
        [tag("p", note, class_="note") for note in picture.notes],
    )


def clipped(words: str, most: int) -> str:
    """At most so many characters; the words of a row may be of any length."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _lines(words: str, width: float, class_: str) -> Drawing:
    """Words broken into lines that fit; no words take no room."""
    lines = textwrap.wrap(words, max(12, int(width / _LETTER)))
    marks = [text((0, 12 + 16 * k), each, class_) for k, each in enumerate(lines)]
    return Drawing(width, 16.0 * len(lines), join(marks))
