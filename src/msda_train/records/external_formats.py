"""The files of other programs that can be imported: how each is recognised and read, as text only.

cutmix-log: what clovaai/CutMix-PyTorch `train.py` prints. Epochs count from 0. Each has two lines that differ
in the last words, `Train Loss` and `Test Loss`; the second is wanted. Errors are percent of all test images,
with three decimals; its loss is the mean cross entropy, our nll.

mixup-cifar10: results/log_*.csv of facebookresearch/mixup-cifar10 `train.py`. Epochs count from 0, accuracies
are percent. Its `test loss` is a sum of batch means divided by one batch too few, so it is no nll: left out.

csv: one line per run below a header of column names: dataset, model, method, and error_last or error_best
(fractions); if known also recipe, seed, epochs, error_median_last10, top5_error_..., nll_... .
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from msda_train.core.errors import UserError, nearest
from msda_train.records.rows import one_line
from msda_train.records.summary import METRICS, PROTOCOLS, TAIL

FORMATS = {
    "cutmix-log": "what the public CutMix program prints",
    "mixup-cifar10": "log_*.csv of the public mixup-cifar10 program",
    "csv": "a table with the columns dataset,model,method,error_last,...",
}
MOST_RUNS, MOST_EPOCHS = 10_000, 100_000
Epoch = dict[str, float]

_CUTMIX_MARK = "* Epoch: ["
_CUTMIX = re.compile(
    r"\* Epoch: \[(\d{1,6})/(\d{1,6})\]\s+Top 1-err (\S{1,20})\s+Top 5-err (\S{1,20})\s+"
    r"(Train|Test) Loss (\S{1,20})\s*"
)
_MIXUP_HEAD = ["epoch", "train loss", "reg loss", "train acc", "test loss", "test acc"]
_TENSOR = re.compile(r"tensor\(([-+.\deE]+)\b.*")  # how newer torch prints a 0-d tensor
_METRIC_COLUMNS = {name.replace("/", "_"): name for name in PROTOCOLS}
_NAME_COLUMNS = ("dataset", "model", "method", "recipe")
_COLUMNS = (*_NAME_COLUMNS, "seed", "epochs", *_METRIC_COLUMNS)


@dataclass(frozen=True)
class Record:
    """One run of another program. `metrics`: fractions, nats for nll; names as in PROTOCOLS."""

    names: Mapping[str, str]
    seed: int | None
    epochs: int | None
    metrics: Mapping[str, float]
    history: tuple[Epoch, ...]


def read_records(file: str, content: bytes, words: Mapping[str, str]) -> tuple[str, list[Record]]:
    """The format's name and the runs in `content`; UserError naming `file` and the line."""
    lines = [] if b"\0" in content else content.decode("utf-8", "replace").lstrip("\ufeff").splitlines()
    first = next((line for line in lines if line.strip()), "")
    head = [cell.lower() for cell in _cells(first)]
    if head == _MIXUP_HEAD:
        return "mixup-cifar10", [_record(words, _mixup(file, lines))]
    if set(_NAME_COLUMNS[:3]) <= set(head):
        return "csv", _table(file, head, lines, words)
    if any(_CUTMIX_MARK in line for line in lines):
        return "cutmix-log", [_record(words, _cutmix(file, lines))]
    known = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
    raise UserError(f"{file}: is of no known format ({known})")


def _cutmix(file: str, lines: Sequence[str]) -> list[Epoch]:
    history: list[Epoch] = []
    total = 0
    for number, line in enumerate(lines, 1):
        where = f"{file}:{number}"
        if _CUTMIX_MARK not in line:
            continue
        match = _CUTMIX.fullmatch(line[line.index(_CUTMIX_MARK) :])
        if not match:
            raise UserError(f"{where}: is cut off or not the CutMix program's: {one_line(line[:80])}")
        if match[5] == "Test":
            _check_order(where, match[1], history)
            total = int(match[2])
            error, top5 = _percent(where, match[3]), _percent(where, match[4])
            nll = _number(where, match[6])
            history.append({"epoch": len(history) + 1, "error": error, "top5_error": top5, "nll": nll})
    if len(history) != total or not history:
        raise UserError(f"{file}: has {len(history)} of {total} epochs; the last is not there")
    return history


def _mixup(file: str, lines: Sequence[str]) -> list[Epoch]:
    history: list[Epoch] = []
    for number, cells in _rows(lines):
        where = f"{file}:{number}"
        tensor = _TENSOR.fullmatch(",".join(cells[5:]))  # a device behind a comma splits the cell
        if len(cells) != len(_MIXUP_HEAD) and not tensor:
            raise UserError(f"{where}: has {len(cells)} cells instead of {len(_MIXUP_HEAD)}; is it cut off?")
        _check_order(where, cells[0], history)
        accuracy = _percent(where, tensor[1] if tensor else cells[5])
        history.append({"epoch": len(history) + 1, "error": round(1 - accuracy, 12)})
    if not history:
        raise UserError(f"{file}: has a header and no epochs")
    return history


def _table(file: str, head: Sequence[str], lines: Sequence[str], words: Mapping[str, str]) -> list[Record]:
    for name in head:
        if name not in _COLUMNS:
            raise UserError(f"{file}:1: unknown column '{one_line(name)}'; {nearest(name, _COLUMNS)}")
    if len(set(head)) < len(head):
        raise UserError(f"{file}:1: a column is there twice")
    records = []
    for number, cells in _rows(lines):
        where = f"{file}:{number}"
        if len(cells) != len(head):
            raise UserError(f"{where}: has {len(cells)} cells instead of {len(head)}; is it cut off?")
        given = {name: cell for name, cell in zip(head, cells, strict=True) if cell}
        metrics = {
            protocol: _metric(where, column, given[column])
            for column, protocol in _METRIC_COLUMNS.items()
            if column in given
        }
        if not {"error/last", "error/best"} & set(metrics):
            raise UserError(f"{where}: has neither error_last nor error_best")
        names = {name: given.get(name) or words.get(name, "") for name in _NAME_COLUMNS}
        seed, epochs = given.get("seed") or words.get("seed"), given.get("epochs")
        records.append(Record(names, _whole(where, seed), _whole(where, epochs), metrics, ()))
    if not 0 < len(records) <= MOST_RUNS:
        raise UserError(f"{file}: has {len(records)} rows; 1 to {MOST_RUNS} are expected")
    return records


def _record(words: Mapping[str, str], history: Sequence[Epoch]) -> Record:
    """One log as one run: the aggregates that its epochs allow."""
    metrics = {}
    for metric in METRICS:
        values = [epoch[metric] for epoch in history if metric in epoch]
        if values:
            metrics[f"{metric}/last"] = values[-1]
            metrics[f"{metric}/best"] = min(values)
            metrics[f"{metric}/median_last10"] = median(values[-TAIL:])
    names = {name: words.get(name, "") for name in _NAME_COLUMNS}
    return Record(names, _whole("seed", words.get("seed")), len(history), metrics, tuple(history))


def _rows(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line below the header that is not empty."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in numbered[1:]:
        yield number, _cells(line)


def _cells(line: str) -> list[str]:
    """None of these formats has a comma within a cell; quotes around one are taken off."""
    return [cell.strip().strip('"') for cell in line.split(",")]


def _check_order(where: str, word: str, history: Sequence[Epoch]) -> None:
    """Epochs count from 0 and none is missing or there twice (two runs in one file; a restart)."""
    if word != str(len(history)) or len(history) >= MOST_EPOCHS:
        raise UserError(
            f"{where}: epoch {one_line(word[:20])} where {len(history)} is expected; give one run per file"
        )


def _number(where: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise UserError(f"{where}: '{one_line(word[:40])}' is not a number") from None
    if not math.isfinite(number) or number < 0:
        raise UserError(f"{where}: {one_line(word[:40])} is negative or not finite")
    return number


def _percent(where: str, word: str) -> float:
    """A percentage as a fraction."""
    number = _number(where, word)
    if number > 100:
        raise UserError(f"{where}: {number:g} is no percentage")
    return round(number / 100, 12)


def _metric(where: str, column: str, word: str) -> float:
    number = _number(where, word)
    if number > 1 and not column.startswith("nll"):
        raise UserError(f"{where}: {column} is {number:g}; give a fraction, 0.0523 for 5.23 %")
    return number


def _whole(where: str, word: str | None) -> int | None:
    if not word:
        return None
    if not re.fullmatch(r"\d{1,9}", word):
        raise UserError(f"{where}: '{one_line(word[:40])}' is not a whole number")
    return int(word)
