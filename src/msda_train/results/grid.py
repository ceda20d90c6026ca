"""Words in rows and columns, drawn as aligned text, markdown, LaTeX or HTML. Records become CSV."""

import csv
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import wrap

from msda_train.results.rows import one_line

STYLES = ("text", "csv", "markdown", "latex", "html")

_WIDTH = 118  # of what is said around a table in text; the table itself is as wide as it is
RED, GREEN, YELLOW, GREY = "31", "32", "33", "90"  # of a terminal


@dataclass(frozen=True)
class Grid:
    """A titled table. `rows[0]` is the head; the other fields are what is said around it."""

    title: str
    rows: Sequence[Sequence[str]]
    facts: Sequence[str] = ()
    notes: Sequence[str] = ()  # what a reader must know before comparing
    foot: Sequence[str] = ()
    left: frozenset[int] = frozenset({0})  # columns aligned left in text; the others right
    typed: bool = False  # the title is what to type
    tints: Mapping[str, str] = field(default_factory=dict)  # colour of a cell by its first words, in text


def draw(grids: Sequence[Grid], style: str, *, colour: bool = False) -> str:
    """`grids` one after the other in one of STYLES other than csv; `colour` is for text only."""
    grids = [_printable(grid) for grid in grids]
    if style == "html":
        return _page(grids)
    if style == "text":
        return "\n".join(_text(grid, colour=colour) for grid in grids)
    one: Callable[[Grid], str] = {"markdown": _markdown, "latex": _latex}[style]
    return "\n".join(map(one, grids))


def _printable(grid: Grid) -> Grid:
    """Rows and published files may come from anywhere: none of their words moves a terminal's cursor."""
    return replace(
        grid,
        title=one_line(grid.title),
        rows=[[one_line(word) for word in row] for row in grid.rows],
        facts=[one_line(fact) for fact in grid.facts],
        notes=[one_line(note) for note in grid.notes],
        foot=[one_line(line) for line in grid.foot],
    )


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """One line per record under the names of the first; empty without records."""
    if not records:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _text(grid: Grid, *, colour: bool) -> str:
    widths = [max(map(len, column)) for column in zip(*grid.rows, strict=True)]
    left = {column % len(widths) for column in grid.left}
    facts = [*grid.facts, *(f"note: {note}" for note in grid.notes)]
    lines = [grid.title, *_wrapped(facts), ""]
    for row in grid.rows:
        words = [
            _tinted(word, word.ljust(width) if column in left else word.rjust(width), grid.tints, colour)
            for column, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(words).rstrip())
    lines += ["", *_wrapped(grid.foot)] if grid.foot else []
    return "\n".join(lines) + "\n"


def _wrapped(texts: Iterable[str]) -> list[str]:
    """Each text on lines of its own, indented, the second and later ones deeper."""
    return [
        line
        for text in texts
        for line in wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    ]


def _tinted(word: str, padded: str, tints: Mapping[str, str], colour: bool) -> str:
    code = tints.get(word.partition(",")[0]) if colour else None
    return f"\x1b[{code}m{padded}\x1b[0m" if code else padded


def _markdown(grid: Grid) -> str:
    def line(words: Iterable[str]) -> str:
        return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"

    rule = ["---", *["---:"] * (len(grid.rows[0]) - 1)]
    title = f"`{grid.title}`" if grid.typed else grid.title
    facts = [*grid.facts, *(f"**{note}**" for note in grid.notes)]
    table = [line(grid.rows[0]), line(rule), *map(line, grid.rows[1:])]
    foot = ["", *(f"- {text}" for text in grid.foot)] if grid.foot else []
    return "\n".join([f"### {title}", "", *facts, "", *table, *foot]) + "\n"


def _latex(grid: Grid) -> str:
    """One booktabs table, for a document with `booktabs`."""

    def line(words: Iterable[str]) -> str:
        return " & ".join(map(escape_latex, words)) + r" \\"

    title = escape_latex(grid.title)
    said = [text.removesuffix(".") for text in (*grid.facts, *grid.notes, *grid.foot)]
    caption = ". ".join([rf"\texttt{{{title}}}" if grid.typed else title, *map(escape_latex, said)])
    body = [line(grid.rows[0]), r"\midrule", *map(line, grid.rows[1:])]
    columns = "l" + "r" * (len(grid.rows[0]) - 1)
    head = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}.}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    return "\n".join([*head, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


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


_LOOKS = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #8884}"
    "td:first-child,th:first-child{text-align:left}:root{color-scheme:light dark}"
)


def _page(grids: Sequence[Grid]) -> str:
    """A whole document that needs nothing else; every word is escaped."""
    head = f'<meta charset="utf-8"><title>msda-table</title><style>{_LOOKS}</style>'
    return "\n".join(
        ["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', *map(_html, grids)]
    ) + ("</body></html>\n")


def _html(grid: Grid) -> str:
    def line(words: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words) + "</tr>"

    title = html.escape(grid.title)
    lines = [f"<h2>{f'<code>{title}</code>' if grid.typed else title}</h2>"]
    lines += [f"<p>{html.escape(fact)}</p>" for fact in grid.facts]
    lines += [f"<p><strong>{html.escape(note)}</strong></p>" for note in grid.notes]
    lines += ["<table>", line(grid.rows[0], "th"), *(line(row, "td") for row in grid.rows[1:]), "</table>"]
    lines += [f"<p>{html.escape(text)}</p>" for text in grid.foot]
    return "\n".join(lines) + "\n"
