"""The few things a plot is made of: a scale, its ticks, a frame, points of different shapes.

Colours, widths and dashes are classes, so that one style sheet (plot.css) serves light, dark and print. What
differs by method differs by dash and by shape, too: a plot has to be readable in grey.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msda_train.report.markup import Markup, join, tag

PLOT_STYLE = Path(__file__).with_name("plot.css").read_text(encoding="utf-8")

Point = tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """Marks and the room they take, from (0, 0) on: part of a page or of a larger drawing."""

    width: float
    height: float
    marks: Markup


@dataclass(frozen=True)
class Scale:
    """From values in [low, high] to pixels in [start, end]; what lies outside is drawn at the border."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[tuple[float, str]]:
        """At most `count` round values within the scale, and their words."""
        step = _step(self.high - self.low, count)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        digits += not math.isclose(step * 10**digits, round(step * 10**digits), rel_tol=1e-6)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(k * step, f"{k * step + 0.0:.{digits}f}") for k in range(first, last + 1)]


def scale_around(values: Iterable[float], start: float, end: float, least: float) -> Scale:
    """A scale that shows `values` with some air, at least `least` wide: equal values need one, too."""
    known = list(values)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    air = max(0.06 * (high - low), (least - (high - low)) / 2, abs(high) * 1e-9)
    return Scale(low - air, high + air, start, end)


def _step(span: float, count: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten of which at most `count` lie in `span`."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(power * f for f in (1, 2, 2.5, 5, 10, 20) if power * f * (count - 0.001) >= span)


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


def line(a: Point, b: Point, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=number(a[0]), y1=number(a[1]), x2=number(b[0]), y2=number(b[1]), class_=class_)


def polyline(points: Sequence[Point], class_: str) -> Markup:
    """A line through all `points`."""
    return tag("polyline", points=_path(points), class_=class_)


def box(corner: Point, width: float, height: float, class_: str) -> Markup:
    """A rectangle; one without a width can still be seen."""
    x, y = corner
    return tag(
        "rect", x=number(x), y=number(y), width=number(max(width, 1)), height=number(height), class_=class_
    )


def text(place: Point, words: object, class_: str = "", anchor: str = "start") -> Markup:
    """Words beginning, ending or centred (`anchor`) at a place."""
    where = {"x": number(place[0]), "y": number(place[1]), "class_": class_ or None}
    return tag("text", words, text_anchor=None if anchor == "start" else anchor, **where)


def shape(kind: int, place: Point, class_: str, size: float = 4) -> Markup:
    """One of nine marks of about equal weight."""
    x, y = place
    corners = _SHAPES[kind % len(_SHAPES)]
    if not corners:
        return tag("circle", cx=number(x), cy=number(y), r=number(size), class_=class_)
    return tag("polygon", points=_path([(x + a * size, y + b * size) for a, b in corners]), class_=class_)


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def _star(points: int, inner: float, turn: float = -math.pi / 2) -> list[Point]:
    radii = [1.3 if k % 2 == 0 else inner for k in range(2 * points)]
    angles = [turn + math.pi * k / points for k in range(2 * points)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


_SHAPES: list[list[Point]] = [
    [],
    [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    [(0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
    [(0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    [(0, -1.3), (1.1, 0), (0, 1.3), (-1.1, 0)],
    _star(4, 0.45, turn=math.pi / 4),
    _star(5, 0.55),
    [(-1.2, -0.6), (1.2, -0.6), (1.2, 0.6), (-1.2, 0.6)],
    [(-0.6, -1.2), (0.6, -1.2), (0.6, 1.2), (-0.6, 1.2)],
]


def x_axis(scale: Scale, y: float, height: float, title: str) -> Markup:
    """Grid lines of `height` above y, words below it, a title in the middle."""
    parts = [line((scale.start, y), (scale.end, y), "axis")]
    for value, words in scale.ticks():
        x = scale(value)
        parts += [line((x, y - height), (x, y), "grid"), text((x, y + 15), words, "tick", "middle")]
    parts.append(text(((scale.start + scale.end) / 2, y + 31), title, "title", "middle"))
    return join(parts)


def y_axis(scale: Scale, x: float, width: float, title: str) -> Markup:
    """Grid lines of `width` right of x, words left of it, the title above them."""
    parts = [line((x, scale.start), (x, scale.end), "axis")]
    for value, words in scale.ticks():
        y = scale(value)
        parts += [line((x, y), (x + width, y), "grid"), text((x - 6, y + 4), words, "tick", "end")]
    parts.append(text((2, scale.end - 10), title, "title"))
    return join(parts)


def at(x: float, y: float, *parts: object) -> Markup:
    """`parts`, drawn from (x, y) on."""
    return tag("g", *parts, transform=f"translate({number(x)} {number(y)})")


def on_page(drawing: Drawing, description: str) -> Markup:
    """A drawing in a page. It shrinks with the page, and says what it shows to who cannot see it."""
    return tag(
        "svg",
        tag("title", description),
        drawing.marks,
        viewBox=f"0 0 {number(drawing.width)} {number(drawing.height)}",
        class_="plot",
        role="img",
    )


def as_file(drawing: Drawing, title: str, description: str) -> str:
    """A drawing as a file of its own, with the style in it; its bytes depend on the arguments only."""
    svg = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        tag("style", Markup(PLOT_STYLE)),
        drawing.marks,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(drawing.width)} {number(drawing.height)}",
        width=number(drawing.width),
        height=number(drawing.height),
        class_="plot document",
        role="img",
    )
    return f"{svg}\n"


def stacked(*drawings: Drawing, gap: float = 16) -> Drawing:
    """One below the other."""
    parts, y = [], 0.0
    for drawing in drawings:
        parts.append(at(0, y, drawing.marks))
        y += drawing.height + gap
    return Drawing(max((d.width for d in drawings), default=1), max(y - gap, 1), join(parts))


def beside(*drawings: Drawing, gap: float = 16) -> Drawing:
    """One next to the other."""
    parts, x = [], 0.0
    for drawing in drawings:
        parts.append(at(x, 0, drawing.marks))
        x += drawing.width + gap
    return Drawing(max(x - gap, 1), max((d.height for d in drawings), default=1), join(parts))
