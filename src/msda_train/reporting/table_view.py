"""A compared table as grids and records: `msda-table show`. One grid per column of the paper."""

from collections.abc import Iterable, Sequence

from msda_train.comparison.cell_words import RULES, cell_method, printed_value, protocol_words
from msda_train.comparison.compare import CellView, ShortBlock, TableView
from msda_train.comparison.table import Stat
from msda_train.comparison.verdict import CONFIDENCE, MARGINS
from msda_train.records.published import RISING
from msda_train.reporting.grid import GREEN, GREY, RED, YELLOW, Grid

NONE = "\N{EN DASH}"  # what has not been run
TINTS = {
    "reproduced": GREEN,
    "better": GREEN,
    "worse": RED,
    "inconclusive": YELLOW,
    "single run": YELLOW,
    "other protocol": GREY,
    "not runnable": GREY,
    "not run": GREY,
}
_HEAD = ("cell", "method", "metric", "published", "ours", "ours - publ.", "margin", "protocol", "verdict")


def table_grids(view: TableView) -> list[Grid]:
    """The paper's columns in its order, each followed by the configurations that only resemble it."""
    columns: dict[tuple[str, str, str | None], list[CellView]] = {}
    for cell_view in view.cells:
        cell = cell_view.cell
        columns.setdefault((cell.dataset, cell.model, cell.experiment), []).append(cell_view)
    grids = [_column_grid(view, cells, first=index == 0) for index, cells in enumerate(columns.values())]
    return grids + [_short_grid(view, block) for block in view.shorter]


def cells_grid(views: Sequence[CellView]) -> Grid:
    """Cells of any tables under each other, by the names that `msda-table why` takes."""
    rows = [_HEAD, *([view.id, *_row(view, setting=True)[1:]] for view in views)]
    return Grid("published beside ours", rows, left=frozenset({0, 1, 7, 8}), tints=TINTS)


def margin_words() -> str:
    """The equivalence margins, for the head of a table."""
    sizes = [
        f"±{most:g} {'points' if unit == 'percent' else unit}, at most {100 * share:g} % of the number"
        for unit, (most, share) in MARGINS.items()
    ]
    return f"margins: {'; '.join(sizes)} (of the error, for an accuracy); {100 * CONFIDENCE:g} % intervals"


def _column_grid(view: TableView, cells: Sequence[CellView], *, first: bool) -> Grid:
    """`first`: the first of its table carries what is said of the whole table."""
    table, some = view.table, cells[0].cell
    shared = {cell.setting for cell in table.cells}
    title = f"{view.paper.key}/{table.id} · {table.name}: {some.dataset}, {some.model}"
    facts = [table.caption + (f"; {some.setting}" if len(shared) == 1 and some.setting else "")]
    facts += [table.note] if table.note and first else []
    experiments = {each.cell.experiment for each in cells} - {None}
    facts += [f"msda-train experiment={name} method=..." for name in sorted(map(str, experiments))]
    facts += [margin_words()] if first else []
    notes = ["replications: measured by others than the authors"] if some.replication else []
    rows = [_HEAD, *(_row(each, setting=len(shared) > 1) for each in cells)]
    return Grid(title, rows, facts, notes, _reasons(cells), left=frozenset({0, 1, 7, 8}), tints=TINTS)


def _row(view: CellView, *, setting: bool) -> list[str]:
    cell, verdict = view.cell, view.verdict
    digits = max(cell.digits, 2)
    needed = (
        f", {verdict.seeds_needed} seeds" if verdict.word == "inconclusive" and verdict.seeds_needed else ""
    )
    return [
        view.id.rpartition("/")[2],
        cell_method(cell) + (f"; {cell.setting}" if setting and cell.setting else ""),
        cell.metric,
        printed_value(cell) + (f" ({cell.n})" if cell.n else ""),
        _stat(view.ours, digits),
        NONE if verdict.difference is None else f"{verdict.difference:+.{digits}f}",
        NONE if verdict.margin is None else f"±{verdict.margin:.{digits}f}",
        protocol_words(cell),
        verdict.word + needed,
    ]


def _stat(stat: Stat | None, digits: int) -> str:
    return NONE if stat is None else f"{stat.words(digits)} ({stat.n})"


def _reasons(cells: Iterable[CellView]) -> list[str]:
    """Why cells cannot be run, each reason once, with the cells it holds for; then what was measured."""
    places: dict[str, list[str]] = {}
    said = []
    for view in cells:
        number = view.id.rpartition("/")[2]
        if view.cell.not_runnable is not None:
            places.setdefault(f"not runnable: {view.cell.not_runnable}", []).append(number)
        elif view.rows:
            said.append(f"{number}: {view.verdict.sentence}")
        elif view.verdict.word == "other protocol":
            places.setdefault(view.verdict.sentence, []).append(number)
    return said + [f"{_ranges(numbers)} {reason}" for reason, numbers in places.items()]


def _ranges(numbers: Sequence[str]) -> str:
    """`1-3, 5` for 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _short_grid(view: TableView, block: ShortBlock) -> Grid:
    """Order only: the published numbers belong to another configuration and are not repeated here."""
    digits = 4 if block.metric == "nll" else 2
    rule = block.protocol.split("/")[-1]
    theirs = [line.cell.value if line.cell else None for line in block.lines]
    falling = block.metric in RISING
    orders = zip(
        _order([line.ours.mean for line in block.lines], falling), _order(theirs, falling), strict=True
    )
    rows = [("method", f"ours, {RULES.get(rule, rule)} {block.metric}", "our order", "paper's order")]
    rows += [
        (line.method, _stat(line.ours, digits), ours, paper)
        for line, (ours, paper) in zip(block.lines, orders, strict=True)
    ]
    place = f"{view.paper.key}/{view.table.id}: {block.dataset}, {block.model}"
    whole = all(row.data["complete"] for line in block.lines for row in line.rows)
    return Grid(
        title=block.words,
        rows=rows,
        facts=[f"another configuration than {place}"],
        notes=[] if whole else ["not the complete data set"],
        foot=[tau_words(block)],
        typed=True,
    )


def tau_words(block: ShortBlock) -> str:
    """How well the block's order of methods agrees with the paper's."""
    if block.tau is None:
        return f"order not compared with the paper's: methods in common {block.common}, 3 are needed"
    return f"Kendall's tau with the paper's order of {block.common} methods: {block.tau:+.2f}"


def _order(values: Sequence[float | None], falling: bool) -> list[str]:
    """Rank of each value, 1 for the best; equal values share the better rank; – where there is none."""
    known = sorted((value for value in values if value is not None), reverse=falling)
    return [NONE if value is None else str(1 + known.index(value)) for value in values]


def record(view: CellView) -> dict[str, object]:
    """One cell for CSV, at full precision; numbers are in `unit`, NLL in nats."""
    cell, ours, verdict = view.cell, view.ours, view.verdict
    keys = ("paper", "table", "table_name", "dataset", "model", "label", "alpha", "setting", "metric", "unit")
    made: dict[str, object] = {"cell": view.id} | {key: getattr(cell, key) for key in keys}
    made |= {"published": f"{cell.value:.{cell.digits}f}"}
    made |= {f"published_{key}": getattr(cell, key) for key in ("std", "spread", "spread_kind", "n")}
    made |= {"protocol": cell.protocol, "compared_with": cell.compared_with, "replication": cell.replication}
    made |= {f"ours_{key}": getattr(ours, key) if ours else None for key in ("mean", "std", "n")}
    made |= {key: getattr(verdict, key) for key in ("difference", "low", "high", "margin", "seeds_needed")}
    typed = " ".join(cell.overrides) if cell.not_runnable is None else None
    made |= {"verdict": verdict.word, "sentence": verdict.sentence, "overrides": typed}
    return made | {"not_runnable": cell.not_runnable, "source": cell.source, "note": cell.note}
