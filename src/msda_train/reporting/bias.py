"""How much is gained by choosing the epoch on the test set: best minus last, from the same runs.

The best epoch is chosen by the very number that is then reported, so it is optimistic; by how much depends
on the method. Errors are in percentage points, NLL in nats; mean and sample deviation (ddof 1) over seeds.
"""

from collections.abc import Sequence

from pandas import DataFrame

from msda_train.comparison.table import lines_frame, summary_stat
from msda_train.records.rows import Row
from msda_train.reporting.grid import Grid

_UNITS = {"error": (100, 2, "points"), "top5_error": (100, 2, "points"), "nll": (1, 4, "nats")}
_OTHERS = {"last": "best - last", "median_last10": "best - median10"}


def bias_lines(rows: Sequence[Row], metric: str) -> DataFrame:
    """The lines of `lines_frame`, and in the columns of _OTHERS the Stat of best minus last, and of best
    minus the median of the last ten, of `metric` in points or nats; never above zero for last."""
    lines = lines_frame(rows)
    for other, name in _OTHERS.items():
        shifts = [[_shift(row, metric, other) for row in each] for each in lines["rows"]]
        lines = lines.assign(**{name: list(map(summary_stat, shifts))})
    return lines


def _shift(row: Row, metric: str, other: str) -> float:
    return _UNITS[metric][0] * (row.metrics[f"{metric}/best"] - row.metrics[f"{metric}/{other}"])


def bias_grid(block: DataFrame, metric: str) -> Grid:
    """One line per method."""
    scale, digits, unit = _UNITS[metric]
    shown = DataFrame({f"{metric}, {unit}": block["method"], "seeds": block["seeds"].map(str)})
    for rule in ("best", "last"):
        shown[rule] = [f"{scale * stat.mean:.{digits}f}" for stat in block[f"{metric}/{rule}"]]
    for name in _OTHERS.values():
        shown[name] = [stat.words(digits, sign="+") for stat in block[name]]
    first = block.iloc[0]
    return Grid(first["words"], shown, [first["facts"]], first["notes"], typed=True)


def bias_records(lines: DataFrame, metric: str) -> list[dict[str, object]]:
    """For CSV, at full precision."""
    made = DataFrame({"column_words": lines["words"], "method_words": lines["method"], "metric": metric})
    made = made.assign(unit=_UNITS[metric][2], fingerprint=lines["fingerprint"], seeds=lines["seeds"])
    for other, name in _OTHERS.items():
        for part in ("mean", "std"):
            made[f"best_minus_{other}_{part}"] = [getattr(stat, part) for stat in lines[name]]
    records: list[dict[str, object]] = made.astype(object).to_dict("records")
    return records
