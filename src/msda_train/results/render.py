"""Printing the table: aligned text, markdown, LaTeX and CSV. Percent exists only here."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from msda_train.results.match import cells_by_fingerprint
from msda_train.results.published import ANSWERED, UNKNOWN, Cell, Paper, load_papers
from msda_train.results.rows import NAMES, Row, one_line
from msda_train.results.summary import PROTOCOLS
from msda_train.results.table import Beside, Block, Line, Stat, build_table

STYLES = ("text", "csv", "markdown", "latex")

_RULES = {"last": "last", "best": "best", "median_last10": "median10"}
_TITLES = {"error": "error, %", "top5_error": "top-5 error, %", "nll": "NLL, nats"}
_PUBLISHED = ("published", "protocol", "ours - publ.", "where")
_TEXT_COLUMNS = (0, -1)  # left-aligned: the method, and where a number is printed

Grid = list[list[str]]


def render(
    rows: Iterable[Row], style: str = "text", metric: str = "error", papers: Sequence[Paper] | None = None
) -> str:
    """The table of `rows` as one string; `papers` are the shipped ones unless given."""
    rows = list(rows)
    cells = cells_by_fingerprint(load_papers() if papers is None else papers, rows)
    blocks = build_table(rows, cells)
    if style == "csv":
        return _csv(blocks, metric)
    draw: Callable[[Block, Grid], str] = {"text": _text, "markdown": _markdown, "latex": _latex}[style]
    return "\n".join(draw(block, _grid(block, metric)) for block in blocks)


def _grid(block: Block, metric: str) -> Grid:
    """Head and body as words, the same for every style but CSV."""
    grid = [[_TITLES[metric], "seeds", *_RULES.values(), "images/s", *_PUBLISHED]]
    for line in block.lines:
        ours = [_stat(line.metrics[f"{metric}/{rule}"], metric) for rule in _RULES]
        left = [line.method, str(len(line.rows)), *ours, f"{line.images_per_second:,.0f}"]
        beside = [_beside(item) for item in _of_metric(line, metric)] or [[""] * len(_PUBLISHED)]
        grid += [(left if index == 0 else [""] * len(left)) + right for index, right in enumerate(beside)]
    if not any(cell for row in grid[1:] for cell in row[-len(_PUBLISHED) :]):
        grid = [row[: -len(_PUBLISHED)] for row in grid]
    return grid


def _of_metric(line: Line, metric: str) -> list[Beside]:
    return [item for item in line.beside if ANSWERED[item.cell.metric][0] == metric]


def _stat(stat: Stat, metric: str) -> str:
    scale, digits = (1, 4) if metric == "nll" else (100, 2)
    spread = "" if stat.std is None else f" ± {stat.std * scale:.{digits}f}"
    return f"{stat.mean * scale:.{digits}f}{spread}"


def _beside(item: Beside) -> list[str]:
    cell = item.cell
    word = "" if cell.metric in _TITLES else f" {cell.metric}"  # an accuracy stays one
    runs = f" (n={cell.n})" if cell.n else ""
    difference = f"{item.difference:+.{max(cell.digits, 2)}f}"
    return [f"{_value(cell)}{word}{runs}", _protocol(cell), difference, f"{cell.paper} {cell.table_name}"]


def _value(cell: Cell) -> str:
    """As printed in the paper."""
    digits = cell.digits if cell.std_digits is None else cell.std_digits
    spread = "" if cell.std is None else f" ± {cell.std:.{digits}f}"
    return f"{cell.value:.{cell.digits}f}{spread}"


def _protocol(cell: Cell) -> str:
    rule = (cell.compared_with or "").split("/")[-1]
    rule = _RULES.get(rule, rule)
    return f"unknown (to {rule})" if cell.protocol == UNKNOWN else rule


def _text(block: Block, grid: Grid) -> str:
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    left = {column % len(widths) for column in _TEXT_COLUMNS} if len(widths) > 6 else {0}
    lines = [block.words, f"  {block.facts}", *(f"  note: {note}" for note in block.notes), ""]
    for row in grid:
        words = [
            word.ljust(width) if column in left else word.rjust(width)
            for column, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(words).rstrip())
    return "\n".join(lines) + "\n"


def _markdown(block: Block, grid: Grid) -> str:
    def line(words: Iterable[str]) -> str:
        return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"

    rule = ["---", *["---:"] * (len(grid[0]) - 1)]
    facts = [block.facts, *(f"**{note}**" for note in block.notes)]
    table = [line(grid[0]), line(rule), *map(line, grid[1:])]
    return "\n".join([f"### `{block.words}`", "", *facts, "", *table]) + "\n"


def _latex(block: Block, grid: Grid) -> str:
    """One booktabs table per block, for a document with `booktabs`."""

    def line(words: Iterable[str]) -> str:
        return " & ".join(map(escape_latex, words)) + r" \\"

    caption = ". ".join(
        [rf"\texttt{{{escape_latex(block.words)}}}", *map(escape_latex, (block.facts, *block.notes))]
    )
    body = [line(grid[0]), r"\midrule", *map(line, grid[1:])]
    columns = "l" + "r" * (len(grid[0]) - 1)
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


def _csv(blocks: Sequence[Block], metric: str) -> str:
    """One line per group at full precision; the names carry the units."""
    if not blocks:
        return ""
    table = [record for block in blocks for record in (_record(block, line, metric) for line in block.lines)]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def _record(block: Block, line: Line, metric: str) -> dict[str, object]:
    row = line.rows[0]
    record: dict[str, object] = {name: one_line(row.names[name] or "") for name in NAMES}
    record |= {"column_words": block.words, "method_words": line.method, "fingerprint": line.fingerprint}
    record |= {"seeds": len(line.rows), "seed_list": " ".join(str(each.seed) for each in line.rows)}
    for key in PROTOCOLS:
        stat, unit = line.metrics[key], "nats" if key.startswith("nll") else "fraction"
        name = key.replace("/", "_")
        record |= {f"{name}_mean_{unit}": stat.mean, f"{name}_std_{unit}": stat.std}
    record["images_per_second_median"] = line.images_per_second
    data = ("content", "complete", "train_images", "test_images", "classes")
    record |= {f"data_{key}": one_line(row.data[key]) for key in data}
    for key in ("device_name", "precision"):
        record[key] = "; ".join(sorted({one_line(each.environment.get(key) or "") for each in line.rows}))
    return record | _published_record(_of_metric(line, metric))


def _published_record(beside: Sequence[Beside]) -> dict[str, object]:
    """The first cell of the chosen metric; `published_cells` says whether there are more."""
    keys = ("paper", "table", "label", "metric", "value", "std", "n", "unit", "protocol", "compared_with")
    first = beside[0] if beside else None
    record: dict[str, object] = {"published_cells": len(beside)}
    record |= {f"published_{key}": getattr(first.cell, key) if first else None for key in keys}
    record["ours_in_published_unit"] = first.ours.mean if first else None
    record["difference_in_published_unit"] = first.difference if first else None
    return record
