"""Numbers as words. Percent, as everywhere in the suite, exists only where something is printed."""

from msda_train.comparison.cell_words import printed_value
from msda_train.comparison.table import Stat
from msda_train.records.published import Cell

METRIC_TITLES = {
    "error": "test error, %",
    "top5_error": "top-5 error, %",
    "top1_acc": "top-1 accuracy, %",
    "top5_acc": "top-5 accuracy, %",
    "nll": "NLL, nats",
}


def stat_words(stat: Stat, digits: int, scale: float = 1) -> str:
    """4.02 ± 0.11 (n=3)."""
    return f"{stat.words(digits, scale)} (n={stat.n})"


def published_words(cell: Cell) -> str:
    """As printed in the paper."""
    return f"{printed_value(cell)}{f' (n={cell.n})' if cell.n else ''}"


def told_apart(cell: Cell) -> str:
    """What tells a cell from others of its method: the paper's setting, alpha, who measured it."""
    settings = [word.removeprefix("method.") for word in cell.set if word.startswith("method.")]
    alpha = [] if cell.alpha is None or settings else [f"alpha={cell.alpha}"]
    return ", ".join(
        filter(None, [cell.setting, *alpha, *settings, "replication" if cell.replication else ""])
    )


def metric_title(metric: str, unit: str) -> str:
    """Metric and unit, for an axis or a head."""
    return METRIC_TITLES.get(metric, f"{metric}, {unit}")


def seconds_words(seconds: float) -> str:
    """12 s, 3.4 min, 2.1 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def many(count: int, word: str) -> str:
    """1 run, 2 runs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
