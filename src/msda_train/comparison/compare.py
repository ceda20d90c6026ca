"""The published tables with our runs beside them, as data; grid.py and the report draw them.

Under a published cell stand only complete runs of exactly its configuration. Runs of the same data set, model
and methods with anything else changed (a shorter schedule, a narrower network) go into blocks of their
own, which show only in which order they put the methods.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import sqrt

from msda_train.comparison.config_diff import (
    column_words,
    differences,
    experiment_choices,
    method_words,
    regulariser_words,
)
from msda_train.comparison.match import cells_by_fingerprint
from msda_train.comparison.table import Stat, summary_stat
from msda_train.comparison.verdict import Verdict, verdict
from msda_train.config.fingerprint import settled
from msda_train.config.method_look import method_rank
from msda_train.config.yaml_file import read_scalar
from msda_train.core.errors import UserError, nearest
from msda_train.records.published import Cell, Paper, Table
from msda_train.records.rows import Row


@dataclass(frozen=True)
class CellView:
    """One published number and ours."""

    cell: Cell
    rows: tuple[Row, ...]  # exactly this configuration on complete data, one per seed, by seed
    ours: Stat | None  # of `cell.compared_with`, in the paper's unit
    verdict: Verdict
    id: str  # what `msda-table why` calls it: paper/table/number, counted from 1


@dataclass(frozen=True)
class ShortLine:
    """One method of a block, over its seeds."""

    method: str  # the word and the parameters that are not the shipped ones
    rows: tuple[Row, ...]
    ours: Stat  # in the paper's unit
    cell: Cell | None  # the paper's number for this method; None where it has none


@dataclass(frozen=True)
class ShortBlock:
    """Rows of one configuration that is not the column's; `experiment` is the column they resemble."""

    experiment: str
    dataset: str  # the paper's words
    model: str
    metric: str
    protocol: str  # the aggregate shown and ranked by, e.g. error/best
    words: str  # what to type, besides the method, to get these rows
    lines: tuple[ShortLine, ...]
    tau: float | None  # Kendall's tau-b of our order and the paper's; None below three common methods

    @property
    def common(self) -> int:
        """How many of its lines have a published number beside them."""
        return sum(line.cell is not None for line in self.lines)


@dataclass(frozen=True)
class TableView:
    """One published table: its cells beside our runs of exactly their configuration, and `shorter`, the
    rows of other configurations that resemble its columns."""

    paper: Paper
    table: Table
    cells: tuple[CellView, ...]
    shorter: tuple[ShortBlock, ...]


def compare(
    papers: Sequence[Paper], rows: Sequence[Row], only: tuple[str, str] | None = None
) -> list[TableView]:
    """Every table of `papers`, or only the one of the (paper, table) ids `only`, with `rows` beside it."""
    if only is not None:
        papers = [_part(paper, only[1]) for paper in papers if paper.key == only[0]]
    groups = _by_fingerprint(rows)
    rows_of: dict[Cell, tuple[Row, ...]] = {}
    for fingerprint, cells in cells_by_fingerprint(papers, rows).items():
        rows_of |= dict.fromkeys(cells, groups.get(fingerprint, ()))
    return [_view(paper, table, rows_of, rows) for paper in papers for table in paper.tables]


def _part(paper: Paper, table_id: str) -> Paper:
    return replace(paper, tables=tuple(table for table in paper.tables if table.id == table_id))


def find_paper(papers: Sequence[Paper], word: str) -> Paper:
    """The paper of key `word`; UserError with the nearest keys."""
    by_key = {paper.key: paper for paper in papers}
    if word not in by_key:
        raise UserError(f"there is no paper '{word}'; {nearest(word, by_key)}")
    return by_key[word]


def find_table(papers: Sequence[Paper], word: str) -> tuple[Paper, Table]:
    """The table called PAPER/TABLE, or PAPER alone where that has one; UserError with the nearest names."""
    key, _, name = word.partition("/")
    paper = find_paper(papers, key)
    by_id = {table.id: table for table in paper.tables}
    if not name and len(by_id) == 1:
        return paper, paper.tables[0]
    if not name:
        raise UserError(f"'{word}' has several tables; {nearest('', [f'{key}/{each}' for each in by_id])}")
    if name not in by_id:
        raise UserError(f"'{key}' has no table '{name}'; {nearest(name, by_id)}")
    return paper, by_id[name]


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b, which corrects for ties; None for fewer than three pairs or where all are tied."""
    if len(one) < 3:
        return None
    pairs = list(combinations(zip(one, other, strict=True), 2))
    score = sum(_sign(a - c) * _sign(b - d) for (a, b), (c, d) in pairs)
    untied = sum(a != c for (a, _), (c, _) in pairs), sum(b != d for (_, b), (_, d) in pairs)
    return score / sqrt(untied[0] * untied[1]) if all(untied) else None


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _by_fingerprint(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    """Rows on complete data, one per seed. Where two decodings of a set differ, the larger group counts."""
    groups: dict[str, dict[str, dict[int, Row]]] = {}
    for row in rows:
        if row.data["complete"]:
            seeds = groups.setdefault(row.fingerprint, {}).setdefault(row.data["content"], {})
            seeds.setdefault(row.seed, row)
    return {key: _sorted(max(found.values(), key=len).values()) for key, found in groups.items()}


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.seed))


def _view(paper: Paper, table: Table, rows_of: dict[Cell, tuple[Row, ...]], rows: Sequence[Row]) -> TableView:
    views = []
    for number, cell in enumerate(table.cells, 1):
        found = rows_of.get(cell, ())
        values = in_cell_unit(cell, found)
        stat = summary_stat(values) if values else None
        views.append(CellView(cell, found, stat, verdict(cell, values), f"{paper.key}/{table.id}/{number}"))
    taken = {row.fingerprint for view in views for row in view.rows}
    others = [row for row in rows if row.fingerprint not in taken]
    return TableView(paper, table, tuple(views), _short_blocks(table, others))


def in_cell_unit(cell: Cell, rows: Iterable[Row]) -> list[float]:
    """What each of `rows` says to `cell`: its protocol's aggregate, in its unit and direction. A row that has
    not been through the cell's probe says nothing."""
    return [cell.ours(row.metrics[cell.compared_with]) for row in rows if cell.compared_with in row.metrics]


def _short_blocks(table: Table, rows: Sequence[Row]) -> tuple[ShortBlock, ...]:
    """For each column the configurations of the same data set and model; ranked by its first metric."""
    columns: dict[tuple[str, str], list[Cell]] = {}
    for cell in table.cells:
        known = cell.not_runnable is None and cell.not_published is None
        if known and cell.compared_with and cell.experiment:
            columns.setdefault((cell.experiment, cell.metric), []).append(cell)
    firsts: dict[str, str] = {}
    for experiment, metric in columns:
        firsts.setdefault(experiment, metric)
    blocks = [
        block
        for experiment, metric in firsts.items()
        for block in _column_blocks(experiment, columns[experiment, metric], rows)
    ]
    return tuple(blocks)


def _column_blocks(experiment: str, cells: list[Cell], rows: Sequence[Row]) -> list[ShortBlock]:
    chosen, _ = experiment_choices(experiment)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if all(row.names[node] == chosen.get(node) for node in ("dataset", "model")):
            groups.setdefault((row.column, row.data["content"]), []).append(row)
    blocks = [_short_block(experiment, cells, group) for group in groups.values()]
    return sorted(blocks, key=lambda block: block.words)


def _short_block(experiment: str, cells: list[Cell], rows: list[Row]) -> ShortBlock:
    first = cells[0]
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row.fingerprint, []).append(row)
    groups = [group for group in by_method.values() if in_cell_unit(first, group)]
    lines = [_short_line(cells, _sorted(group)) for group in groups]
    lines.sort(key=lambda line: (method_rank(line.rows[0].names["method"]), line.method))
    pairs = [(line.ours.mean, line.cell.value) for line in lines if line.cell]
    experiments = {row.names["experiment"] for row in rows}
    words = column_words(rows[0], experiments.pop() if len(experiments) == 1 else None)
    return ShortBlock(
        experiment=experiment,
        dataset=first.dataset,
        model=first.model,
        metric=first.metric,
        protocol=first.compared_with,
        words=words,
        lines=tuple(lines),
        tau=kendall_tau([ours for ours, _ in pairs], [theirs for _, theirs in pairs]),
    )


def _short_line(cells: list[Cell], rows: tuple[Row, ...]) -> ShortLine:
    fitting = [cell for cell in cells if _same_method(cell, rows[0])]
    cell = max(fitting, key=lambda each: _settings_held(each, rows[0])) if fitting else None
    return ShortLine(method_words(rows[0]), rows, summary_stat(in_cell_unit(cells[0], rows)), cell)


def _same_method(cell: Cell, row: Row) -> bool:
    """Whether the row's method is the cell's, every parameter included."""
    words = [word.removeprefix("method.") for word in cell.set if word.startswith("method.")]
    overlay = {key: read_scalar(value) for key, _, value in (word.partition("=") for word in words)}
    regularised = [word for word in cell.set if word.startswith("regulariser=")]
    return (
        cell.method == row.names["method"]
        and not differences(row, "method", overlay)
        and regularised == regulariser_words(row)[:1]
    )


def _settings_held(cell: Cell, row: Row) -> int:
    """A table by weight decay has one ERM per value: the row is ranked beside the one it shares most with."""
    return sum(_holds(word, row) for word in cell.set)


def _holds(word: str, row: Row) -> bool:
    path, _, value = word.lstrip("+").partition("=")
    node, _, key = path.partition(".")
    made = row.config.get(node, {})
    return bool(settled(made).get(key) == settled({**made, key: read_scalar(value)}).get(key))
