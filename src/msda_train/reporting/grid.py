"""A frame of words, drawn as aligned text, markdown, LaTeX or HTML. Records become CSV.

Layout is tabulate's and pandas'. What a word may do to a format is said once, in ESCAPES and
`_cell`: names in rows and published files come from anywhere.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import indent, wrap
from typing import TYPE_CHECKING

from msda_train.records.rows import one_line

if TYPE_CHECKING:
    from pandas import DataFrame

STYLES = ("text", "csv", "markdown", "latex", "html")

_WIDTH = 118  # of what is said around a table in text; the table itself is as wide as it is
RED, GREEN, YELLOW, GREY = "31", "32", "33", "90"  # of a terminal


@dataclass(frozen=True)
class Grid:
    """A titled table of words; the other fields are what is said around it."""

    title: str
    table: "DataFrame"
    facts: Sequence[str] = ()
    notes: Sequence[str] = ()  # what a reader must know before comparing
    foot: Sequence[str] = ()
    left: frozenset[int] = frozenset({0})  # columns aligned left, from the end if negative; others right
    typed: bool = False  # the title is what to type
    tints: Mapping[str, str] = field(default_factory=dict)  # colour of a cell by its first words, in text


def draw(grids: Sequence[Grid], style: str, *, colour: bool = False) -> str:
    """`grids` one after the other in one of STYLES other than csv; `colour` is for text only."""
    draw_one: dict[str, Callable[[Grid], str]] = {
        "text": lambda grid: _text(grid, colour=colour),
        "markdown": _markdown,
        "latex": _latex,
        "html": _html,
    }
    drawn = "\n".join(draw_one[style](_escaped(grid, ESCAPES[style])) for grid in grids)
    return _PAGE.format(drawn) if style == "html" else drawn


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """One line per record under the names of the first; empty without records."""
    if not records:
        return ""
    from pandas import DataFrame  # a third of a second, which `msda-train --help` need not wait

    cells = [[_cell(value) for value in record.values()] for record in records]
    frame = DataFrame(cells, columns=list(records[0]), dtype=object)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def _cell(value: object) -> object:
    """`value` as a spreadsheet takes it: text that it would run as a formula gets an apostrophe in front;
    numbers, also negative ones in words, stay numbers."""
    if not isinstance(value, str):
        return value
    word = one_line(value)
    if not value.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")):  # the last four: full width
        return word
    try:
        float(value)
    except ValueError:
        return f"'{word}"
    return word


def _escaped(grid: Grid, escape: Callable[[str], str]) -> Grid:
    """No word moves a cursor or is markup. Markdown's typed titles are code, which has no escapes."""

    def safe(word: str) -> str:
        return escape(one_line(word))

    code = grid.typed and escape is escape_markdown
    return replace(
        grid,
        title=_code(one_line(grid.title)) if code else safe(grid.title),
        table=grid.table.map(safe).rename(columns=safe),
        facts=[safe(fact) for fact in grid.facts],
        notes=[safe(note) for note in grid.notes],
        foot=[safe(line) for line in grid.foot],
    )


def _aligned(grid: Grid) -> list[str]:
    """`left` or `right` for each column."""
    width = grid.table.shape[1]
    left = {column % width for column in grid.left}
    return ["left" if column in left else "right" for column in range(width)]


def _table(grid: Grid, style: str) -> str:
    from tabulate import tabulate

    head, body = list(grid.table), grid.table.to_numpy().tolist()
    if style == "plain":  # no rule below the head, so it is a row like any other, and no wider than need be
        head, body = [], [head, *body]
    text: str = tabulate(body, head, style, colalign=_aligned(grid), disable_numparse=True)
    return text


def _text(grid: Grid, *, colour: bool) -> str:
    facts = [*grid.facts, *(f"note: {note}" for note in grid.notes)]
    shown = replace(grid, table=grid.table.map(_tinted, tints=grid.tints)) if colour else grid
    table = [line.rstrip() for line in _table(shown, "plain").splitlines()]
    foot = ["", *_wrapped(grid.foot)] if grid.foot else []
    return "\n".join([grid.title, *_wrapped(facts), "", indent("\n".join(table), "  "), *foot]) + "\n"


def _wrapped(texts: Iterable[str]) -> list[str]:
    """Each text on lines of its own, indented, the second and later ones deeper."""
    return [
        line
        for text in texts
        for line in wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    ]


def _tinted(word: str, tints: Mapping[str, str]) -> str:
    code = tints.get(word.partition(",")[0])
    return f"\x1b[{code}m{word}\x1b[0m" if code else word


def _markdown(grid: Grid) -> str:
    facts = [*grid.facts, *(f"**{note}**" for note in grid.notes)]
    foot = ["", *(f"- {text}" for text in grid.foot)] if grid.foot else []
    return "\n".join([f"### {grid.title}", "", *facts, "", _table(grid, "pipe"), *foot]) + "\n"


def _latex(grid: Grid) -> str:
    """One booktabs table, for a document with `booktabs`; the words are escaped already."""
    said = [text.removesuffix(".") for text in (*grid.facts, *grid.notes, *grid.foot)]
    caption = ". ".join([rf"\texttt{{{grid.title}}}" if grid.typed else grid.title, *said])
    columns = "".join(side[0] for side in _aligned(grid))
    style = grid.table.style.hide(axis="index")
    text: str = style.to_latex(
        column_format=columns, hrules=True, caption=f"{caption}.", position_float="centering"
    )
    return text


def _html(grid: Grid) -> str:
    lines = [f"<h2>{f'<code>{grid.title}</code>' if grid.typed else grid.title}</h2>"]
    lines += [f"<p>{fact}</p>" for fact in grid.facts]
    lines += [f"<p><strong>{note}</strong></p>" for note in grid.notes]
    lines += [_table(grid, "unsafehtml")]  # the words are escaped already
    return "\n".join([*lines, *(f"<p>{text}</p>" for text in grid.foot)]) + "\n"


# A whole document that needs nothing else.
_PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>msda-table</title><style>'
    "body{{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}}"
    "table{{border-collapse:collapse}}td,th{{padding:.2em .8em;border-bottom:1px solid #8884}}"
    "th{{text-align:left}}:root{{color-scheme:light dark}}</style></head><body>\n{}</body></html>\n"
)

_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
}


def escape_latex(text: str) -> str:
    """`text` as LaTeX prints it, character by character; signs of numbers become minus signs."""
    words = "".join(_LATEX.get(char, char) for char in text)
    return f"${words}$" if words[:1] in "+-" and words[1:].replace(".", "").isdigit() else words


_MARKED = re.compile(r"[\\`*\[|]|(?<!\w)_|_(?!\w)|~~")  # what starts code, emphasis, a link, a column


def escape_markdown(text: str) -> str:
    """`text` as markdown prints it, inside a table too: no tag, no link, no emphasis, no column."""
    return _MARKED.sub(lambda match: f"\\{match[0]}", html.escape(text, quote=False))


def _code(text: str) -> str:
    """A code span that ends where `text` ends."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, gap = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{gap}{text}{gap}{fence}"


ESCAPES: dict[str, Callable[[str], str]] = {
    "text": str,
    "markdown": escape_markdown,
    "latex": escape_latex,
    "html": html.escape,
}
