"""How much is gained by choosing the epoch on the test set: best minus last, from the same runs.

The best epoch is chosen by the very number that is then reported, so it is optimistic; by how much depends
on the method. Errors are in percentage points, NLL in nats; mean and sample deviation (ddof 1) over seeds.
"""

from collections.abc import Iterable, Sequence

from msda_train.comparison.table import Block, Line, Stat, build_table, summary_stat
from msda_train.records.rows import Row
from msda_train.reporting.grid import Grid

_UNITS = {"error": (100, 2, "points"), "top5_error": (100, 2, "points"), "nll": (1, 4, "nats")}


def bias_blocks(rows: Iterable[Row]) -> list[Block]:
    """Runs by column and method."""
    return build_table(rows, {})


def bias(line: Line, metric: str, other: str = "last") -> Stat:
    """Best minus `other` (last or median_last10) of `metric` in points or nats, never above zero for last."""
    scale, _, _ = _UNITS[metric]
    shifts = [row.metrics[f"{metric}/best"] - row.metrics[f"{metric}/{other}"] for row in line.rows]
    return summary_stat([scale * shift for shift in shifts])


def bias_grid(block: Block, metric: str) -> Grid:
    """One line per method."""
    _, _, unit = _UNITS[metric]
    head = [f"{metric}, {unit}", "seeds", "best", "last", "best - last", "best - median10"]
    rows = [_row(line, metric) for line in block.lines]
    return Grid(block.words, [head, *rows], [block.facts], block.notes, typed=True)


def _row(line: Line, metric: str) -> list[str]:
    scale, digits, _ = _UNITS[metric]
    means = [f"{scale * line.metrics[f'{metric}/{rule}'].mean:.{digits}f}" for rule in ("best", "last")]
    shifts = [_signed(bias(line, metric, other), digits) for other in ("last", "median_last10")]
    return [line.method, str(len(line.rows)), *means, *shifts]


def _signed(stat: Stat, digits: int) -> str:
    return f"{stat.mean:+.{digits}f}" + ("" if stat.std is None else f" ± {stat.std:.{digits}f}")


def bias_records(blocks: Sequence[Block], metric: str) -> list[dict[str, object]]:
    """For CSV, at full precision."""
    _, _, unit = _UNITS[metric]
    records = []
    for block in blocks:
        for line in block.lines:
            record: dict[str, object] = {"column_words": block.words, "method_words": line.method}
            record |= {
                "metric": metric,
                "unit": unit,
                "fingerprint": line.fingerprint,
                "seeds": len(line.rows),
            }
            for other in ("last", "median_last10"):
                stat = bias(line, metric, other)
                record |= {f"best_minus_{other}_mean": stat.mean, f"best_minus_{other}_std": stat.std}
            records.append(record)
    return records
