"""Published cells beside our lines, as one frame; and the lines that only resemble a published column.

Beside a published cell stand only complete runs of exactly its configuration. Runs of the same data set,
model and methods with anything else changed (a shorter schedule, a narrower network) are compared with the
paper in one thing: in which order they put the methods.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from pandas import DataFrame, Series, isna

from msda_train.comparison.config_diff import differences, experiment_choices, regulariser_words
from msda_train.comparison.match import holds, setting, with_fingerprints
from msda_train.comparison.table import summary_stat
from msda_train.comparison.verdict import Verdict, verdict
from msda_train.core.errors import UserError, nearest
from msda_train.records.frame import cells_frame
from msda_train.records.published import Cell, Paper, Table
from msda_train.records.rows import Row

TABLE = ["paper", "table"]
RESEMBLED = [*TABLE, "experiment", "block"]  # what the lines of one group of `resembling` share


def compare(papers: Sequence[Paper], lines: DataFrame, only: tuple[str, str] | None = None) -> DataFrame:
    """One line per published cell, or only those of the table with the (paper, table) ids `only`.

    The columns of `cells_frame`; fingerprint and block (of `lines_frame`), where there are lines of it; rows:
    exactly this configuration on complete data, one per seed, by seed; ours: the Stat of `compared_with` in
    the paper's unit, or None; verdict: its word; and the other fields of Verdict.
    """
    cells = cells_frame(papers)
    if only is not None:
        cells = cells[(cells["paper"] == only[0]) & (cells["table"] == only[1])]
    complete = lines[lines["complete"].astype(bool)]
    # Where two decodings of a data set differ, that with more seeds counts.
    ours = complete.sort_values("seeds", ascending=False, kind="stable").drop_duplicates("fingerprint")
    ours = ours[["fingerprint", "block", "rows"]]
    found = with_fingerprints(cells, lines).merge(ours, on="fingerprint", how="left")
    found["rows"] = [() if isna(block) else rows for block, rows in zip(found.block, found.rows, strict=True)]
    found["ours"] = _ours(found["cell"], found["rows"])
    verdicts = [vars(verdict(*each)) for each in zip(found["cell"], found["ours"], strict=True)]
    names = [field.name for field in fields(Verdict)]
    said = DataFrame(verdicts, columns=names, dtype=object).rename(columns={"word": "verdict"})
    return found.join(said)


def resembling(compared: DataFrame, lines: DataFrame) -> DataFrame:
    """The lines of the data set and model of a published column that are no configuration of its table, nor
    measured on held-out training examples.

    One line per published column (paper, table, experiment) and line of ours, grouped by RESEMBLED. The
    columns of `lines_frame`; first: the published column's first Cell, by whose metric it is ranked; ours: a
    Stat of that, in the paper's unit; theirs: the paper's Cell for this method, or None; common: how many
    lines of the group have one; tau: Kendall's tau-b of our order of these and the paper's, or None.
    """
    asked = compared[compared["not_runnable"].isna() & compared["experiment"].notna()]
    asked = asked[(asked["compared_with"] != "") & asked["not_published"].isna()]
    firsts = asked.drop_duplicates([*TABLE, "experiment"]).rename(columns={"cell": "first"})
    chosen = [_data_and_model(experiment_choices(name)[0]) for name in firsts["experiment"]]
    firsts = firsts[[*TABLE, "experiment", "metric", "first"]].assign(names=chosen)
    lines = lines[Series([not rows[0].held_out for rows in lines["rows"]], lines.index, dtype=bool)]
    some = lines.assign(names=[_data_and_model(rows[0].names) for rows in lines["rows"]])
    pairs = firsts.merge(some, on="names")
    taken = compared[compared["block"].notna()][[*TABLE, "fingerprint"]].drop_duplicates()
    pairs = pairs.merge(taken, how="left", indicator="taken")
    pairs = pairs[pairs["taken"] == "left_only"].drop(columns="taken")
    pairs["ours"] = _ours(pairs["first"], pairs["rows"])
    pairs = pairs.dropna(subset="ours").reset_index(drop=True)
    pairs["theirs"] = _theirs(pairs, asked)
    printed = [None if cell is None else cell.value for cell in pairs["theirs"]]
    numbers = pairs.assign(mine=[stat.mean for stat in pairs["ours"]], printed=Series(printed, dtype=float))
    groups = numbers.groupby(RESEMBLED)
    tau = {key: kendall_tau(group["mine"], group["printed"]) for key, group in groups}
    pairs["common"] = groups["printed"].transform("count")
    keys = pairs[RESEMBLED].itertuples(index=False, name=None)
    pairs["tau"] = Series([tau[key] for key in keys], dtype=object)
    return pairs


def kendall_tau(one: Iterable[float], other: Iterable[float]) -> float | None:
    """Kendall's tau-b, which corrects for ties, of the pairs without a NaN; None for fewer than three or
    where all are tied."""
    tau = Series(list(one), dtype=float).corr(Series(list(other), dtype=float), "kendall", min_periods=3)
    return None if isna(tau) else float(tau)


def in_cell_unit(cell: Cell, rows: Iterable[Row]) -> list[float]:
    """What each of `rows` says to `cell`: its protocol's aggregate, in its unit and direction. A row that has
    not been through the cell's probe says nothing."""
    return [cell.ours(row.metrics[cell.compared_with]) for row in rows if cell.compared_with in row.metrics]


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


def _ours(cells: Series, rows: Series) -> Series:
    """Of each cell the Stat of its rows in its unit; None where they say nothing."""
    values = [in_cell_unit(*each) for each in zip(cells, rows, strict=True)]
    return Series([summary_stat(some) if some else None for some in values], cells.index, dtype=object)


def _data_and_model(names: Mapping[str, str | None]) -> tuple[str | None, str | None]:
    return names.get("dataset"), names.get("model")


def _theirs(pairs: DataFrame, asked: DataFrame) -> Series:
    """Of each pair the published cell of the line's method, every option included; of several, as in a table
    by weight decay, the one whose settings the line shares most. None where there is none."""
    keys = [*TABLE, "experiment", "metric", "method_name"]
    cells = asked.rename(columns={"method": "method_name", "cell": "theirs"})[[*keys, "theirs"]]
    near = pairs[[*keys, "rows"]].rename_axis("pair").reset_index().merge(cells, on=keys)
    near["row"] = [rows[0] for rows in near["rows"]]
    same = [_same_method(*each) for each in zip(near["theirs"], near["row"], strict=True)]
    near = near[Series(same, dtype=bool)]
    near = near.assign(held=[_settings_held(*each) for each in zip(near["theirs"], near["row"], strict=True)])
    best = near.sort_values("held", ascending=False, kind="stable").drop_duplicates("pair")
    found = dict(zip(best["pair"], best["theirs"], strict=True))
    return Series([found.get(pair) for pair in pairs.index], dtype=object)


def _same_method(cell: Cell, row: Row) -> bool:
    """Whether the row's method has the cell's options, all of them, and its regulariser."""
    settings = [setting(word) for word in cell.set]
    options = {key: value for (node, key), value in settings if node == "method"}
    regularised = [word for word in cell.set if word.startswith("regulariser=")]
    return not differences(row, "method", options) and regularised == regulariser_words(row)[:1]


def _settings_held(cell: Cell, row: Row) -> int:
    settings = [setting(word) for word in cell.set]
    return sum(holds(row.config.get(node, {}), key, value) for (node, key), value in settings)
