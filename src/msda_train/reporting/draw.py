"""From a function that makes a matplotlib figure to PDF, SVG and PNG: one style, the same bytes each time."""

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from msda_train.config.method_look import method_look
from msda_train.core.errors import UserError

STYLE = Path(__file__).with_name("msda_train.mplstyle")
FORMATS = ("pdf", "svg", "png")
# What no style may change: ids of an SVG come from the picture alone; the words of a row are words, neither
# formulas nor a program for LaTeX.
_FIXED = {"svg.hashsalt": "msda-train", "text.parse_math": False, "text.usetex": False}
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}


@dataclass(frozen=True)
class Look:
    """colour #rrggbb, a marker of matplotlib, a line style of matplotlib."""

    colour: str
    marker: str
    line: str | tuple[float, tuple[float, ...]]


def looks(methods: Iterable[str | None]) -> list[Look]:
    """One for each line of a picture, in order. A method's first line has the method's own look; its others
    (mixup with three alphas) share the colour and take marker and line of other methods."""
    met: dict[str, int] = {}
    found = []
    for method in methods:
        own = method_look(method or "")
        again = met[method or ""] = met.get(method or "", -1) + 1
        if again:
            other = _VARIANTS[(own["order"] + 5 * again) % len(_VARIANTS)]
            found.append(Look(own["colour"], *other))
        else:
            found.append(Look(own["colour"], own["marker"], _line(own["dash"])))
    return found


def _line(dash: str) -> str | tuple[float, tuple[float, ...]]:
    try:
        lengths = tuple(float(word) for word in dash.split())
    except ValueError:
        return dash
    return (0, lengths)


_VARIANTS: list[tuple[str, str | tuple[float, tuple[float, ...]]]] = [
    (marker, _line(dash)) for dash in ("5 2", "-", "1 1", "7 2 1 2") for marker in "osv^DPX*<>pdh"
]


def rendered(
    make: Callable[[], Figure], formats: Sequence[str] = FORMATS, style: Path | None = None
) -> dict[str, bytes]:
    """Format to file content of the figure that `make` draws. `style`: a user's own .mplstyle, which comes on
    top of ours; UserError where it is none."""
    with _styled(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands in its place
        figure = make()
        return {kind: _content(figure, kind) for kind in formats}


def _content(figure: Figure, kind: str) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=kind, metadata=_METADATA[kind])
    return out.getvalue()


@contextmanager
def _styled(style: Path | None) -> Iterator[None]:
    _own_letters()
    settings: Any = dict(matplotlib.rc_params_from_file(STYLE, use_default_template=False))
    if style is not None:
        settings |= _settings(style)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not what this machine's matplotlibrc says
        matplotlib.rcParams.update(settings | _FIXED)
        yield


@cache
def _own_letters() -> None:
    """DejaVu Sans is the one that comes with matplotlib, also where the system has another of that name,
    whose outlines are other bytes."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = font_manager.fontManager
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        fonts.addfont(folder / file)  # the first of those that fit is taken
    fonts.ttflist.sort(key=lambda font: folder not in Path(font.fname).parents)


def _settings(path: Path) -> dict[str, Any]:
    """What a style file of the user's says. matplotlib tells its slips in its log only."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        found = dict(matplotlib.rc_params_from_file(path, use_default_template=False))
    except (OSError, ValueError) as error:
        raise UserError(f"--style {path}: cannot be read ({' '.join(str(error).split())[:150]})") from None
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    if told:
        raise UserError(f"--style {path}: {' '.join(told[0].split())[:200]}")
    return {key: value for key, value in found.items() if key not in ("backend", "interactive", "toolbar")}


def plain_words(words: object, most: int = 10_000) -> str:
    """Words of a row, fit to be drawn: one line, at most so many characters, none that cannot be printed."""
    text = " ".join("".join(c if c.isprintable() else "?" for c in str(words)).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
