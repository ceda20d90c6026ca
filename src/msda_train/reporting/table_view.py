"""A compared table as grids and records: `msda-table show`. One grid per column of the paper."""

from collections.abc import Sequence
from typing import Any

from pandas import DataFrame, Series, isna

from msda_train.comparison.cell_words import RULES, cell_method, printed_value, protocol_words
from msda_train.comparison.compare import RESEMBLED, TABLE
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
    "not published": GREY,
    "not run": GREY,
}
# The columns of the CSV, and those among them that the frame has under another name.
_RECORD = (
    *("cell", "paper", "table", "table_name", "dataset", "model", "label", "alpha", "setting", "metric"),
    *("unit", "published", "published_std", "published_spread", "published_spread_kind", "published_n"),
    *("protocol", "compared_with", "replication", "ours_mean", "ours_std", "ours_n"),
    *("difference", "low", "high", "margin", "seeds_needed", "verdict", "sentence"),
    *("overrides", "not_runnable", "source", "note"),
)
_PUBLISHED = {"id": "cell", "cell": "_"} | {
    key: f"published_{key}" for key in ("std", "spread", "spread_kind", "n")
}
_HEAD = ("cell", "method", "metric", "published", "ours", "ours - publ.", "margin", "protocol", "verdict")


def table_grids(compared: DataFrame, resembling: DataFrame) -> list[Grid]:
    """Of each table of `compare` the paper's columns in its order, then the lines that only resemble them."""
    grids = []
    others = dict(list(resembling.groupby(TABLE)))
    for name, cells in compared.groupby(TABLE, sort=False):
        columns = cells.groupby(["dataset", "model", "experiment"], sort=False, dropna=False)
        grids += [_column_grid(cells, column, first=n == 0) for n, (_, column) in enumerate(columns)]
        if name in others:
            grids += [_order_grid(block) for _, block in others[name].groupby(RESEMBLED, sort=False)]
    return grids


def cells_grid(cells: DataFrame) -> Grid:
    """Lines of `compare`, of any tables, under each other by the names that `msda-table why` takes."""
    rows = [[each.id, *_row(each, setting=True)[1:]] for each in cells.itertuples()]
    return Grid(
        "published beside ours", DataFrame(rows, columns=_HEAD), left=frozenset({0, 1, 7, 8}), tints=TINTS
    )


def margin_words() -> str:
    """The equivalence margins, for the head of a table."""
    sizes = [
        f"±{most:g} {'points' if unit == 'percent' else unit}, at most {100 * share:g} % of the number"
        for unit, (most, share) in MARGINS.items()
    ]
    return f"margins: {'; '.join(sizes)} (of the error, for an accuracy); {100 * CONFIDENCE:g} % intervals"


def _column_grid(cells: DataFrame, column: DataFrame, *, first: bool) -> Grid:
    """`first`: the first of its table carries what is said of the whole table."""
    some = column.iloc[0]
    table = some["in_table"]
    several = cells["setting"].nunique() > 1
    title = f"{some['paper']}/{table.id} · {table.name}: {some['dataset']}, {some['model']}"
    facts = [table.caption + ("" if several or not some["setting"] else f"; {some['setting']}")]
    facts += [table.note] if table.note and first else []
    one = column["probes"].nunique(dropna=False) == 1 and some["probes"]
    then = f" probes={some['probes']}" if one else ""
    facts += [f"msda-train experiment={some['experiment']} method=...{then}"] if some["experiment"] else []
    facts += [margin_words()] if first else []
    notes = ["replications: measured by others than the authors"] if some["replication"] else []
    shown = DataFrame([_row(each, setting=several) for each in column.itertuples()], columns=_HEAD)
    return Grid(title, shown, facts, notes, _reasons(column), left=frozenset({0, 1, 7, 8}), tints=TINTS)


def _row(line: Any, *, setting: bool) -> list[str]:
    """`line`: of `compare`."""
    cell, digits = line.cell, max(line.digits, 2)
    undecided = line.verdict == "inconclusive" and line.seeds_needed
    return [
        line.id.rpartition("/")[2],
        cell_method(cell) + (f"; {cell.setting}" if setting and cell.setting else ""),
        cell.metric,
        printed_value(cell) + (f" ({cell.n})" if cell.n else ""),
        _stat(line.ours, digits),
        NONE if line.difference is None else f"{line.difference:+.{digits}f}",
        NONE if line.margin is None else f"±{line.margin:.{digits}f}",
        protocol_words(cell),
        line.verdict + (f", {line.seeds_needed} seeds" if undecided else ""),
    ]


def _stat(stat: Stat | None, digits: int) -> str:
    return NONE if stat is None else f"{stat.words(digits)} ({stat.n})"


def _reasons(column: DataFrame) -> list[str]:
    """What was measured; then why cells cannot be run, each reason once, with the cells it holds for."""
    numbers = column["id"].str.rpartition("/")[2]
    run = column["rows"].map(bool)
    said = [f"{number}: {words}" for number, words in zip(numbers[run], column["sentence"][run], strict=True)]
    reasons = "not runnable: " + column["not_runnable"]
    reasons = reasons.fillna(column["sentence"][~run & (column["verdict"] == "other protocol")])
    groups = numbers.groupby(reasons, sort=False)
    return said + [f"{_ranges(list(some))} {reason}" for reason, some in groups]


def _ranges(numbers: Sequence[str]) -> str:
    """`1-3, 5` for 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _order_grid(block: DataFrame) -> Grid:
    """Order only: the published numbers belong to another configuration and are not repeated here."""
    some = block.iloc[0]
    cell = some["first"]
    digits = 4 if cell.metric == "nll" else 2
    rule = cell.compared_with.split("/")[-1]
    falling = cell.metric not in RISING
    ours = [stat.mean for stat in block["ours"]]
    theirs = [None if each is None else each.value for each in block["theirs"]]
    shown = DataFrame({"method": block["method"]})
    shown[f"ours, {RULES.get(rule, rule)} {cell.metric}"] = [_stat(stat, digits) for stat in block["ours"]]
    for name, values in (("our order", ours), ("paper's order", theirs)):
        ranks = Series(values, block.index, dtype=float).rank(method="min", ascending=falling)
        shown[name] = [NONE if isna(rank) else str(int(rank)) for rank in ranks]
    return Grid(
        title=some["words"],
        table=shown,
        facts=[f"another configuration than {some['paper']}/{some['table']}: {cell.dataset}, {cell.model}"],
        notes=[] if block["complete"].all() else ["not the complete data set"],
        foot=[_tau_words(some["common"], some["tau"])],
        typed=True,
    )


def _tau_words(common: int, tau: float | None) -> str:
    """How well our order of methods agrees with the paper's."""
    if tau is None:
        return f"order not compared with the paper's: methods in common {common}, 3 are needed"
    return f"Kendall's tau with the paper's order of {common} methods: {tau:+.2f}"


def records(compared: DataFrame) -> list[dict[str, object]]:
    """A cell of `compare` each, for CSV, at full precision; numbers are in `unit`, NLL in nats."""
    made = compared.rename(columns=_PUBLISHED)
    printed = [None if cell.not_published else f"{cell.value:.{cell.digits}f}" for cell in compared["cell"]]
    made["published"] = Series(printed, index=made.index, dtype=object)
    for key in ("mean", "std", "n"):
        made[f"ours_{key}"] = Series([getattr(stat, key, None) for stat in compared["ours"]], dtype=object)
    typed = [None if cell.not_runnable else " ".join(cell.overrides) for cell in compared["cell"]]
    made["overrides"] = Series(typed, dtype=object)
    found: list[dict[str, object]] = made[list(_RECORD)].to_dict("records")
    return found
