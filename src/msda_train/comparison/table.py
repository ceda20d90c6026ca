"""The table as data: rows in blocks and lines, published numbers beside them. render.py prints it.

A block is what may be compared (same data, model and recipe), a line is one method config over its seeds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from msda_train.comparison.config_diff import column_words, method_words
from msda_train.config.method_look import method_rank
from msda_train.records.published import Cell
from msda_train.records.rows import Row, one_line
from msda_train.records.summary import CLASSIFICATION


@dataclass(frozen=True)
class Stat:
    """Mean over `n` seeds and the sample deviation (ddof 1), which one seed does not have."""

    mean: float
    std: float | None
    n: int

    def words(self, digits: int, scale: float = 1) -> str:
        """`4.02 ± 0.11`; the mean alone where there is no deviation."""
        spread = "" if self.std is None else f" ± {self.std * scale:.{digits}f}"
        return f"{self.mean * scale:.{digits}f}{spread}"


@dataclass(frozen=True)
class Beside:
    """A published cell and ours, in the paper's unit; `difference` is ours minus published."""

    cell: Cell
    ours: Stat
    difference: float


@dataclass(frozen=True)
class Line:
    """One method with one set of options, over its seeds."""

    method: str  # the word and the parameters that are not the shipped ones
    rows: tuple[Row, ...]  # one per seed
    metrics: Mapping[str, Stat]  # fractions and nats, keys as in PROTOCOLS
    images_per_second: float  # median over seeds
    beside: tuple[Beside, ...]  # empty where the data are not complete

    @property
    def fingerprint(self) -> str:
        """Of the configuration; the same for all its rows."""
        return self.rows[0].fingerprint


@dataclass(frozen=True)
class Block:
    """The lines that may be compared: the same images, network and recipe."""

    words: str  # what to type, besides the method, to be in this block
    facts: str  # of the data, and on what it was computed
    notes: tuple[str, ...]  # what a reader must know before comparing
    lines: tuple[Line, ...]

    @property
    def task(self) -> str:
        """What was learned."""
        return self.lines[0].rows[0].task

    @property
    def content(self) -> str:
        """Which images these were."""
        return str(self.lines[0].rows[0].data["content"])


def build_table(rows: Iterable[Row], cells: Mapping[str, Sequence[Cell]]) -> list[Block]:
    """Blocks in the order of their words; `cells` are the published ones by fingerprint."""
    blocks = [_block(column, cells) for column in _grouped(rows, by="column")]
    blocks.sort(key=lambda block: (block.words, block.facts, block.content))
    typed = Counter(block.words for block in blocks)
    return [block if typed[block.words] == 1 else _told_apart(block) for block in blocks]


def _told_apart(block: Block) -> Block:
    """Two folders of one's own images can be typed the same way and hold different pictures."""
    note = f"other images than in the block of the same words: content {one_line(block.content)[:12]}"
    return replace(block, notes=(*block.notes, note))


def summary_stat(values: Sequence[float]) -> Stat:
    """Mean, sample standard deviation (n - 1; None for a single value) and number of `values`, in their unit.
    StatisticsError where there are none."""
    return Stat(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def _grouped(rows: Iterable[Row], by: str) -> list[list[Row]]:
    """By fingerprint or column, and always by what the images were."""
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for row in rows:
        key = (getattr(row, by), row.data["content"], row.data["complete"])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _block(rows: list[Row], cells: Mapping[str, Sequence[Cell]]) -> Block:
    experiments = {row.names["experiment"] for row in rows}
    words = column_words(rows[0], experiments.pop() if len(experiments) == 1 else None)
    data = rows[0].data
    if rows[0].task == CLASSIFICATION:
        images = f"{data['train_images']:,} training and {data['test_images']:,} test images"
        facts = f"{images}, {data['classes']} classes"
    else:
        facts = f"{data['modes']} modes, {data['judged']:,} generated points judged"
    notes = [] if data["complete"] else ["not the complete set: no published number stands beside these rows"]
    machines = Counter(_machine(row) for row in rows)
    if len(machines) > 1:
        counts = "; ".join(f"{count} on {name}" for name, count in sorted(machines.items()))
        notes.append(f"rows of different machines or precisions: {counts}")
    else:
        facts += f"; on {next(iter(machines))}"
    groups = [sorted(group, key=lambda row: row.seed) for group in _grouped(rows, by="fingerprint")]
    lines = [_line(*each, cells) for each in zip(groups, _stats(groups), strict=True)]
    lines.sort(key=lambda line: (method_rank(line.rows[0].names["method"]), line.method, line.fingerprint))
    return Block(words, facts, tuple(notes), tuple(lines))


def _stats(groups: Sequence[Sequence[Row]]) -> list[tuple[dict[str, Stat], float]]:
    """Of each group: its statistics of every number that all its rows have, and its median images/s."""
    from pandas import DataFrame, Series  # a third of a second; `msda-train --help` needs none of it

    rows = [row for group in groups for row in group]
    group_of = [number for number, group in enumerate(groups) for _ in group]
    by_group = DataFrame.from_records([row.metrics for row in rows]).groupby(group_of)
    means, stds, counts = (getattr(by_group, name)() for name in ("mean", "std", "count"))
    speeds = Series([row.images_per_second for row in rows]).groupby(group_of).median()
    numbers = list(means.columns)
    return [
        (
            {
                name: Stat(mean, std if n > 1 else None, n)
                for name, mean, std, n in zip(numbers, *parts, strict=True)
                if n == len(group)
            },
            float(speed),
        )
        for group, *parts, speed in zip(
            groups, *(frame.to_numpy().tolist() for frame in (means, stds, counts)), speeds, strict=True
        )
    ]


def _line(rows: list[Row], found: tuple[dict[str, Stat], float], cells: Mapping[str, Sequence[Cell]]) -> Line:
    stats, speed = found
    beside = cells.get(rows[0].fingerprint, ()) if rows[0].data["complete"] else ()
    return Line(
        method=method_words(rows[0]),
        rows=tuple(rows),
        metrics=stats,
        images_per_second=speed,
        beside=tuple(_beside(cell, stats) for cell in beside if cell.compared_with in stats),
    )


def _beside(cell: Cell, stats: Mapping[str, Stat]) -> Beside:
    stat = stats[cell.compared_with]
    ours = Stat(cell.ours(stat.mean), None if stat.std is None else cell.ours_std(stat.std), stat.n)
    return Beside(cell, ours, ours.mean - cell.value)


def _machine(row: Row) -> str:
    device = row.environment.get("device_name") or row.environment.get("device") or "an unnamed device"
    return one_line(f"{device}, {row.environment.get('precision') or 'unknown precision'}")
