"""Our runs as one frame: a line is one method with one set of options, over its seeds. Tables, pictures and
the report read it; published cells are merged with it.

A block of lines is what may be compared: the same images, network and recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pandas import DataFrame, Series, concat

from msda_train.comparison.config_diff import column_words, method_words
from msda_train.config.method_look import method_rank
from msda_train.records.frame import runs_frame
from msda_train.records.rows import Row, one_line
from msda_train.records.summary import CLASSIFICATION

_BLOCK = ["column", "content", "complete"]
_LINE = [*_BLOCK, "fingerprint"]
COLUMNS = (
    *("block", "words", "facts", "notes"),
    *("content", "complete", "fingerprint", "method_name", "method", "rows", "seeds", "images_per_second"),
)


@dataclass(frozen=True)
class Stat:
    """Mean over `n` seeds and the sample deviation (ddof 1), which one seed does not have."""

    mean: float
    std: float | None
    n: int

    def words(self, digits: int, scale: float = 1, sign: str = "") -> str:
        """`4.02 ± 0.11`; the mean alone where there is no deviation. `sign`: + shows that of the mean."""
        spread = "" if self.std is None else f" ± {self.std * scale:.{digits}f}"
        return f"{self.mean * scale:{sign}.{digits}f}{spread}"


def summary_stat(values: Sequence[float]) -> Stat:
    """Mean, sample standard deviation (n - 1; None for a single value) and number of `values`, in their unit.
    StatisticsError where there are none."""
    return Stat(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def lines_frame(rows: Sequence[Row]) -> DataFrame:
    """One line per method config over its seeds, in the order of tables, columns as in COLUMNS:

    block: its number; words: what to type, besides the method, to be in it; facts: of the data, and on what
    it was computed; notes: what a reader must know before comparing. content, complete: of the images.
    method_name: as typed; method: with the options that are not the shipped ones. rows: one per seed, by
    seed. images_per_second: median over seeds. Then, by its name (error/last), a Stat of every number that
    all rows of the line have, else None; in fractions and nats.
    """
    runs = runs_frame(rows).drop_duplicates([*_LINE, "seed"])
    if runs.empty:
        return DataFrame(columns=COLUMNS)
    blocks = _blocks(runs)
    runs = runs.assign(line=runs.groupby(_LINE, sort=False).ngroup())
    runs = runs.sort_values(["line", "seed"], ignore_index=True)
    groups = runs.groupby("line")
    lines = groups[[*_LINE]].first().assign(seeds=groups.size(), rows=groups["row"].agg(tuple))
    lines["images_per_second"] = groups["images_per_second"].median()
    named = [(some[0].names["method"], method_words(some[0])) for some in lines.rows]
    lines[["method_name", "method"]] = DataFrame(named, dtype=object)
    lines["order"] = [method_rank(name) for name in lines.method_name]
    stats = _stats(runs)
    lines = lines.join(stats).merge(blocks, on=_BLOCK)
    lines = lines.sort_values(["block", "order", "method", "fingerprint"], ignore_index=True)
    return lines[[*COLUMNS, *stats]]


def _stats(runs: DataFrame) -> DataFrame:
    """Of each line a Stat of every number that all its rows have."""
    blocks = [
        DataFrame.from_records([row.metrics for row in some["row"]]).groupby(some["line"].to_numpy())
        for _, some in runs.groupby(_BLOCK, sort=False)
    ]
    parts = [concat([getattr(block, name)() for block in blocks]) for name in ("mean", "std", "count")]
    sizes = concat([block.size() for block in blocks]).tolist()
    found = {
        name: [
            Stat(mean, std if n > 1 else None, n) if count == n else None
            for mean, std, count, n in zip(*(part[name].tolist() for part in parts), sizes, strict=True)
        ]
        for name in parts[0]
    }
    return DataFrame(found, index=parts[0].index, dtype=object)


def _blocks(runs: DataFrame) -> DataFrame:
    """block, words, facts and notes of every block, in the order of their words."""
    groups = runs.groupby(_BLOCK, sort=False)["row"].agg(list)
    told = [_told(some) for some in groups]
    blocks = DataFrame(told, groups.index, ["words", "facts", "notes"], dtype=object).reset_index()
    blocks = blocks.sort_values(["words", "facts", "content"], ignore_index=True)
    for at in blocks.index[blocks.duplicated("words", keep=False)]:
        # Two folders of one's own images can be typed the same way and hold different pictures.
        content = one_line(blocks.content[at])[:12]
        blocks.at[at, "notes"] += (f"other images than in the block of the same words: content {content}",)
    return blocks.rename_axis("block").reset_index()


def _noun(row: Row) -> str:
    return "rows" if "stratified" in row.config["dataset"] else "images"


def _told(rows: Sequence[Row]) -> tuple[str, str, tuple[str, ...]]:
    experiments = {row.names["experiment"] for row in rows}
    words = column_words(rows[0], experiments.pop() if len(experiments) == 1 else None)
    data = rows[0].data
    if rows[0].task == CLASSIFICATION:
        images = f"{data['train_images']:,} training and {data['test_images']:,} test {_noun(rows[0])}"
        facts = f"{images}, {data['classes']} classes"
    else:
        facts = f"{data['modes']} modes, {data['judged']:,} generated points judged"
    notes = [] if data["complete"] else ["not the complete set: no published number stands beside these rows"]
    machines = Series([_machine(row) for row in rows]).value_counts().sort_index()
    if len(machines) > 1:
        counts = "; ".join(f"{count} on {name}" for name, count in machines.items())
        notes.append(f"rows of different machines or precisions: {counts}")
    else:
        facts += f"; on {machines.index[0]}"
    return words, facts, tuple(notes)


def _machine(row: Row) -> str:
    device = row.environment.get("device_name") or row.environment.get("device") or "an unnamed device"
    return one_line(f"{device}, {row.environment.get('precision') or 'unknown precision'}")
