"""Where a compared number comes from, link by link: `msda-table why`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pandas import Series

from msda_train.comparison.cell_words import cell_method, printed_value, protocol_words
from msda_train.comparison.compare import compare, find_table
from msda_train.comparison.match import fingerprints
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError, nearest
from msda_train.records.published import Cell, Paper, Table
from msda_train.records.rows import Row, one_line

Link = tuple[str, tuple[str, ...]]  # its name and its lines


@dataclass(frozen=True)
class Chain:
    """A cell and the links from its source to the machines that repeated it."""

    id: str
    links: tuple[Link, ...]


def find_cell(papers: Sequence[Paper], word: str) -> tuple[Paper, Table, int]:
    """Paper, table and index of PAPER/TABLE/NUMBER, or of PAPER/TABLE/LABEL where one cell has that label."""
    parts = word.split("/", 2)
    if len(parts) < 3:
        raise UserError(f"'{word}' is no cell; type PAPER/TABLE/NUMBER, numbers as in: msda-table show TABLE")
    paper, table = find_table(papers, "/".join(parts[:2]))
    cells, name = table.cells, parts[2]
    if name.isdecimal():
        if not 1 <= int(name) <= len(cells):
            raise UserError(f"{paper.key}/{table.id} has cells 1 to {len(cells)}, not {name}")
        return paper, table, int(name) - 1
    found = [index for index, cell in enumerate(cells) if _plain(name) in _names(cell)]
    if not found:
        known = {cell_method(cell) for cell in cells}
        raise UserError(f"{paper.key}/{table.id} has no cell '{name}'; {nearest(name, known)}")
    if len(found) > 1:
        ids = ", ".join(str(index + 1) for index in found)
        raise UserError(f"{paper.key}/{table.id} has several cells '{name}'; choose by number: {ids}")
    return paper, table, found[0]


def _names(cell: Cell) -> set[str]:
    return {_plain(cell.label), _plain(cell_method(cell))}


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def chain(paper: Paper, table: Table, index: int, rows: Sequence[Row]) -> Chain:
    """From the printed number to our runs; it ends where the cell cannot be run."""
    found = compare([paper], lines_frame(rows), (paper.key, table.id)).iloc[index]
    cell = table.cells[index]
    links: list[Link] = [("published", _published(paper, table, cell)), ("source", (cell.source,))]
    links += [("note", (note,)) for note in (cell.note, table.note) if note]
    if cell.not_runnable is not None:
        return Chain(found["id"], (*links, ("not runnable", (cell.not_runnable,))))
    fingerprint = fingerprints({cell.overrides})[cell.overrides]
    links += [("overrides", ("msda-train " + " ".join(cell.overrides),)), ("fingerprint", (fingerprint,))]
    counted = found["rows"]
    links.append(("runs", tuple(_run(cell, row) for row in counted) or ("none yet",)))
    others = [row for row in rows if row.fingerprint == fingerprint and row not in counted]
    links += [("not counted", lines) for lines in [_not_counted(others)] if lines]
    links += [("environment", lines) for lines in [_environments(counted)] if lines]
    return Chain(found["id"], (*links, ("verdict", (f"{found['verdict']}. {found['sentence']}",))))


def _published(paper: Paper, table: Table, cell: Cell) -> tuple[str, ...]:
    runs = f", n = {cell.n}" if cell.n else ", number of runs not stated"
    first, *others = paper.authors.split(",")
    where = f"{table.name} of {first}{' et al.' if others else ''}, {paper.venue}"
    lines = [
        f"{printed_value(cell)} {cell.unit}, {cell.metric}; epoch: {protocol_words(cell)}{runs}",
        f"{cell_method(cell)}; {cell.dataset}, {cell.model}" + (f"; {cell.setting}" if cell.setting else ""),
        f"{where}, {paper.url}",
    ]
    return (
        (*lines, "a replication: measured by others than the authors") if cell.replication else tuple(lines)
    )


def _run(cell: Cell, row: Row) -> str:
    value = cell.ours(row.metrics[cell.compared_with]) if cell.compared_with in row.metrics else None
    said = f"{cell.compared_with} {value:.4f} {cell.unit}" if value is not None else "no such number"
    return f"seed {row.seed}: {said}  {one_line(row.path)}"


def _not_counted(rows: Iterable[Row]) -> tuple[str, ...]:
    reason = {False: "not the complete data set", True: "another decoding of the images"}
    return tuple(
        f"seed {row.seed}: {reason[row.data['complete']]}  {one_line(row.path)}"
        for row in sorted(rows, key=lambda row: row.seed)
    )


def _environments(rows: Iterable[Row]) -> tuple[str, ...]:
    """One line per distinct environment, with its seeds."""
    said = Series({str(row.seed): _environment(row) for row in rows}, dtype=object)
    groups = said.groupby(said, sort=False)
    return tuple(f"seed {' '.join(seeds.index)}: {words}" for words, seeds in groups)


def _environment(row: Row) -> str:
    kept = {key: value for key, value in row.environment.items() if value not in (None, "", [], {})}
    return one_line(", ".join(f"{key} {value}" for key, value in kept.items()))
