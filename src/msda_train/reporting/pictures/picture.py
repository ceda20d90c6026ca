"""A picture: panels under one title with a legend and notes, laid out in inches as a matplotlib figure."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from msda_train.reporting.draw import Look, plain_words

Draw = Callable[[Axes], None]

# Inches.
WIDTH, HEIGHT = 4.2, 2.3  # of a panel, with what its axes say beside it; of its axes
_PAGE = 8.6  # as wide as two panels
_LEFT, _RIGHT, _BOTTOM = 0.62, 0.14, 0.44
_MARGIN, _GAP = 0.15, 0.14
_LINE = 0.165  # of text
_LETTER = 0.079  # width of one, on the safe side
_BOLD = 0.086
_LONGEST = 600  # letters of one text


@dataclass(frozen=True)
class Panel:
    """`draw` fills its axes; `below` those of a lower part with the same x axis, as high as told."""

    caption: str  # what is shown
    draw: Draw
    width: float = WIDTH
    height: float = HEIGHT
    below: tuple[Draw, float] | None = None
    left: float = _LEFT

    @property
    def inches(self) -> float:
        """Height of the panel without its caption."""
        return self.height + _BOTTOM + (self.below[1] + 0.1 if self.below else 0.0)


@dataclass(frozen=True)
class Legend:
    """What a look means. area: the grey of an area in place of a line."""

    label: str
    look: Look
    area: bool = False


@dataclass(frozen=True)
class Picture:
    """`legend`: what colours, dashes and markers mean; empty where the notes say it."""

    title: str
    panels: tuple[Panel, ...]
    legend: tuple[Legend, ...]
    notes: tuple[str, ...] = ()
    columns: int | None = None  # panels side by side; None: as many as fit


Placed = Callable[[Figure, float], None]  # draws a part whose top is so many inches below the figure's


def figure(pictures: Sequence[tuple[Picture, str]], *, titled: bool = True) -> Figure:
    """Each picture with its context (which runs), one below the other. Not titled: for a page, which says
    title and notes itself."""
    width = max(max(map(_width, _rows(picture))) for picture, _ in pictures)
    if titled:
        width = max(width, 4.2)
    parts = [part for each in pictures for part in _parts(*each, width=width, titled=titled)]
    height = sum(size for size, _ in parts) + 2 * _MARGIN
    made = Figure(figsize=(width + 2 * _MARGIN, height))
    top = _MARGIN
    for size, place in parts:
        place(made, top)
        top += size
    return made


def legend_figure(picture: Picture) -> Figure:
    """The legend alone, as wide as one panel."""
    size, place = _legend(picture.legend, WIDTH)
    made = Figure(figsize=(WIDTH + 2 * _MARGIN, size + 2 * _MARGIN))
    place(made, _MARGIN)
    return made


def _parts(picture: Picture, context: str, *, width: float, titled: bool) -> list[tuple[float, Placed]]:
    parts: list[tuple[float, Placed]] = []
    if titled:
        parts += [_text(picture.title, width, size=11, bold=True), _text(context, width, colour="#57606a")]
        parts.append(_space(0.08))
    if picture.legend:
        parts += [_legend(picture.legend, width), _space(0.1)]
    for row in _rows(picture):
        parts.append(_row(row))
    if titled:
        parts += [_text(note, width, size=7.5, colour="#57606a") for note in picture.notes]
        parts.append(_space(0.2))
    return parts


def _space(size: float) -> tuple[float, Placed]:
    return size, lambda figure, top: None


def _text(
    words: str, width: float, *, size: float = 8, bold: bool = False, colour: str = "#1b1f24"
) -> tuple[float, Placed]:
    letter = (_BOLD if bold else _LETTER) * size / 8
    lines = textwrap.wrap(plain_words(words, _LONGEST), max(12, int(width / letter)))
    each = _LINE * size / 8

    def place(figure: Figure, top: float) -> None:
        weight = "bold" if bold else "normal"
        for k, line in enumerate(lines):
            x, y = _at(figure, _MARGIN, top + k * each)
            figure.text(x, y, line, va="top", size=size, weight=weight, color=colour)

    return each * len(lines) + (0.04 if lines else 0.0), place


def _legend(legend: Sequence[Legend], width: float) -> tuple[float, Placed]:
    """In columns as wide as the longest words."""
    fit = int((width - 0.6) / _LETTER)
    shown = [replace(each, label=plain_words(each.label, fit)) for each in legend]
    longest = max(len(each.label) for each in shown) * _LETTER + 0.62
    columns = max(1, min(int(width / longest), len(shown)))

    def place(figure: Figure, top: float) -> None:
        handles = [_handle(each) for each in shown]
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=_at(figure, _MARGIN, top), ncols=columns
        )

    return -(-len(shown) // columns) * 0.18, place


def _handle(each: Legend) -> Artist:
    if each.area:
        return Patch(facecolor="#c9ced6", edgecolor=each.look.colour, linewidth=0.6, label=each.label)
    look = each.look
    handle = Line2D([], [], color=look.colour, ls=look.line, marker=look.marker, label=each.label)
    return handle


def _rows(picture: Picture) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    for panel in picture.panels:
        full = not rows or (
            _width([*rows[-1], panel]) > _PAGE
            if picture.columns is None
            else len(rows[-1]) == picture.columns
        )
        if full:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _width(row: Sequence[Panel]) -> float:
    return sum(panel.width for panel in row) + _GAP * (len(row) - 1)


def _row(row: Sequence[Panel]) -> tuple[float, Placed]:
    """Captions of one row take the same room, so that the axes lie on one level."""
    captions = [_text(panel.caption, panel.width, size=8.5, bold=True) for panel in row]
    room = max(size for size, _ in captions) + 0.04

    def place(figure: Figure, top: float) -> None:
        left = _MARGIN
        for panel in row:
            _caption(figure, panel, left, top)
            _axes(figure, panel, left, top + room)
            left += panel.width + _GAP

    return room + max(panel.inches for panel in row) + 0.1, place


def _caption(figure: Figure, panel: Panel, left: float, top: float) -> None:
    lines = textwrap.wrap(plain_words(panel.caption, _LONGEST), max(12, int(panel.width / (_BOLD * 8.5 / 8))))
    x, y = _at(figure, left, top)
    figure.text(x, y, "\n".join(lines), va="top", size=8.5, weight="bold")


def _axes(figure: Figure, panel: Panel, left: float, top: float) -> None:
    wide = panel.width - panel.left - _RIGHT
    upper = figure.add_axes(_box(figure, left + panel.left, top, wide, panel.height))
    panel.draw(upper)
    if panel.below:
        draw, height = panel.below
        lower = figure.add_axes(_box(figure, left + panel.left, top + panel.height + 0.1, wide, height))
        draw(lower)
        upper.set_xlabel("")
        upper.tick_params(labelbottom=False)


def _at(figure: Figure, left: float, top: float) -> tuple[float, float]:
    width, height = figure.get_size_inches()
    return left / float(width), 1 - top / float(height)


def _box(
    figure: Figure, left: float, top: float, wide: float, high: float
) -> tuple[float, float, float, float]:
    width, height = figure.get_size_inches()
    x, y = _at(figure, left, top + high)
    return x, y, wide / float(width), high / float(height)
