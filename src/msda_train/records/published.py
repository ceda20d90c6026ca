"""Published numbers: results/published/<paper>.yaml, copied by hand, read as frozen values, never converted.

A file says paper, tables, columns, cells. What cells have in common is written once, on the column, on the
table, or under the table's `metrics:` for all cells of one metric; the nearest word wins (cell, column,
metric, table, paper), and `null` takes a shared word away. A cell either names the `experiment`, `method` and
`set` that reproduce it, or says `not_runnable: <reason>`, perhaps with the method and settings that will.
What a probe measures says `probes: <file of configs/probes/>`, and its `protocol` or `nearest` is the row's
own name of the number, PROBE/KEY. A number that somebody else measured says `replication: true`. One that is
not at hand has no `value`, and says `not_published: <why>`: it can be run, and is compared with nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from msda_train.config import checks
from msda_train.config.groups import probes_of, words_of
from msda_train.config.yaml_file import LINE, check_keys, mappings, read_yaml, without_lines
from msda_train.core.errors import UserError, nearest
from msda_train.core.paths import CONFIGS, PUBLISHED
from msda_train.records.rows import one_line
from msda_train.records.summary import PROTOCOLS

UNKNOWN = "unknown"  # the protocol is not stated
OTHER = "other"  # the protocol is known (the cell's note says it), and no row holds such a number

# A printed spread that is no standard deviation over runs; what it is instead.
SPREADS = ("range", "maximum deviation of the last 10 epochs", "not stated")

# The papers' metrics that ours can answer, and the paper's unit: by our aggregates of a metric, by a probe's
# number or, as accuracy on deformed images, by either.
ANSWERED = {
    "error": ("error", "percent"),
    "top1_acc": ("error", "percent"),
    "top5_error": ("top5_error", "percent"),
    "top5_acc": ("top5_error", "percent"),
    "nll": ("nll", "nats"),
}
_ATTACKED = ("fgsm_error", "ifgsm_error", "fgsm_acc", "ifgsm_acc", "pgd_acc")
_PROBED = (*_ATTACKED, "knn_error", "auroc", "tnr95", "detection_acc", "loc_acc", "map")
ANSWERED |= dict.fromkeys(_PROBED, ("", "percent"))
ANSWERED |= dict.fromkeys(("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge", "cider"), ("", "score"))
RISING = frozenset(metric for metric in ANSWERED if not metric.endswith(("error", "nll")))  # larger is better


@dataclass(frozen=True)
class Cell:
    """One printed number. `value` and `std` are as printed, in `unit`; `digits` are the decimals printed."""

    paper: str
    table: str  # id of the table, e.g. table1a
    table_name: str  # the paper's own, e.g. Table 1(a)
    label: str  # the paper's own word for the method
    dataset: str  # the paper's own words, too
    model: str
    metric: str
    value: float
    digits: int
    unit: str
    protocol: str  # which of a row's aggregates the paper reports, or `unknown`, or `other`
    source: str
    nearest: str | None = None  # the aggregate shown beside a number of unknown protocol
    std: float | None = None  # over n runs
    std_digits: int | None = None  # decimals of std or spread where they are not `digits`
    n: int | None = None  # runs behind value and std
    spread: float | None = None  # a printed spread of another kind
    spread_kind: str | None = None  # one of SPREADS
    alpha: str | float | None = None  # Beta's parameter as printed, where no `set` says it
    setting: str = ""
    experiment: str | None = None
    method: str | None = None
    set: tuple[str, ...] = ()
    probes: str | None = None  # the file of configs/probes/ that measures the number
    not_runnable: str | None = None
    not_published: str | None = None  # why there is no number; `value` is NaN then
    note: str | None = None
    replication: bool = False  # measured by others than the paper's authors

    @property
    def overrides(self) -> tuple[str, ...]:
        """What to type after `msda-train` to reproduce the cell."""
        words = f"experiment={self.experiment}", f"method={self.method}", *self.set
        return (*words, f"probes={self.probes}") if self.probes else words

    @property
    def compared_with(self) -> str:
        """The aggregate of our rows that stands beside this number; empty where none does."""
        return {OTHER: "", UNKNOWN: self.nearest or ""}.get(self.protocol, self.protocol)

    @property
    def rule(self) -> str:
        """The same in a word: last, best, ...; a probe's number goes by its whole name."""
        compared = self.compared_with
        return compared.rpartition("/")[2] if compared in PROTOCOLS else compared

    def ours(self, fraction_or_nats: float) -> float:
        """One of our values in the unit and direction of this cell: an accuracy is 1 - our error."""
        opposite = self.metric in RISING and "error" in self.compared_with
        return self.ours_std(1 - fraction_or_nats if opposite else fraction_or_nats)

    def ours_std(self, fraction_or_nats: float) -> float:
        """One of our spreads, a fraction or in nats, in the unit of this cell; scores are printed x 100."""
        return 100 * fraction_or_nats if self.unit in ("percent", "score") else fraction_or_nats


@dataclass(frozen=True)
class Table:
    """One table of a paper; `note`: what a reader must know before comparing."""

    id: str
    name: str
    caption: str
    cells: tuple[Cell, ...]
    note: str | None = None


@dataclass(frozen=True)
class Paper:
    """One paper; `key` is the name of its file, and what is typed."""

    key: str
    title: str
    authors: str
    venue: str
    arxiv: str
    url: str
    tables: tuple[Table, ...]
    note: str | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of all tables, in the order of the file."""
        return tuple(cell for table in self.tables for cell in table.cells)


_OWN = frozenset({"paper", "table", "table_name"})  # of a Cell: known from where it stands
_CELL = {field.name: field for field in fields(Cell) if field.name not in _OWN}
_COLUMN = {"cells"} | set(_CELL) - {"label", "value", "std", "spread", "metric", "method"}
_OFF = ("not_runnable", "not_published")
_SHARED = ("n", "source", "setting", "probes", "replication", *_OFF)  # what a table may share
_TABLE = {"id", "name", "caption", "note", "metrics", "columns", *_SHARED}
_PAPER = {"key", "title", "authors", "venue", "arxiv", "url", "note", "tables", "replication"}
_TYPES: dict[str, tuple[type, ...]] = (
    {name: (int, float) for name in ("value", "std", "spread")}
    | {name: (int,) for name in ("digits", "std_digits", "n")}
    | {"alpha": (int, float, str), "replication": (bool,)}
)


def load_papers(folder: Path = PUBLISHED) -> list[Paper]:
    """Every paper in `folder`, by file name; UserError names file, line and what is wrong."""
    papers, complaints = load_sound_papers(folder)
    if complaints:
        raise UserError(complaints[0])
    return papers


def load_sound_papers(folder: Path = PUBLISHED) -> tuple[list[Paper], list[str]]:
    """The papers whose files are sound, and one line for each file that is not."""
    found: dict[str, Paper] = {}
    complaints = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            paper = read_paper(path)
        except UserError as error:
            complaints.append(one_line(error))
            continue
        if found.setdefault(paper.key, paper) is not paper:
            complaints.append(f"{path}: a second file of paper '{paper.key}'; the first is used")
    return list(found.values()), complaints


def read_paper(path: Path) -> Paper:
    """The paper in one file, checked."""
    raw = read_yaml(path)
    check_keys(raw, _PAPER, _PAPER - {"note", "replication"}, f"{path}:1")
    _check_types(raw, f"{path}:1", skipped={"tables"})
    shared = {"replication": raw.get("replication", False)}
    found = mappings(raw["tables"], f"{path}:1: 'tables'")
    tables = tuple(_table(path, raw["key"], table, shared) for table in found)
    ids = [table.id for table in tables]
    if len(set(ids)) < len(ids):
        raise UserError(f"{path}:1: two tables with one id among {', '.join(ids)}")
    words: dict[str, Any] = {key: raw.get(key) for key in _PAPER - {"tables", "replication"}}
    return Paper(tables=tables, **words)


def _table(path: Path, paper: str, raw: Mapping[str, Any], shared: Mapping[str, Any]) -> Table:
    where = f"{path}:{raw[LINE]}"
    check_keys(raw, _TABLE, {"id", "name", "caption", "columns"}, where)
    _check_types(raw, where, skipped={"columns", "metrics"})
    shared = dict(shared) | {key: raw[key] for key in _SHARED if key in raw}
    by_metric = without_lines(raw.get("metrics", {}))
    if not isinstance(by_metric, dict) or not all(isinstance(item, dict) for item in by_metric.values()):
        raise UserError(f"{where}: 'metrics' is not a block of `metric: {{unit: ..., protocol: ...}}` lines")
    words = {"paper": paper, "table": raw["id"], "table_name": raw["name"]}
    cells: list[Cell] = []
    for column in mappings(raw["columns"], f"{where}: 'columns'"):
        here = f"{path}:{column[LINE]}"
        check_keys(column, _COLUMN, {"cells", "dataset", "model"}, here)
        common = {key: item for key, item in column.items() if key not in ("cells", LINE)}
        for cell in mappings(column["cells"], f"{here}: 'cells'"):
            metric = by_metric.get(str(cell.get("metric")), {})
            values = shared | metric | common | without_lines(cell)
            cells.append(_cell(f"{path}:{cell[LINE]}", values, words))
    _check_distinct(where, cells)
    return Table(raw["id"], raw["name"], raw["caption"], tuple(cells), raw.get("note"))


def _cell(where: str, values: dict[str, Any], words: dict[str, str]) -> Cell:
    if values.get("not_published") is not None:
        if "value" in values:
            raise UserError(f"{where}: 'value' is {values['value']}, but 'not_published' says there is none")
        values = {**values, "value": math.nan, "digits": 0}
    required = {name for name, field in _CELL.items() if field.default is MISSING}
    check_keys(values, _CELL, required, where)
    _check_types(values, where, skipped={"set"})
    overrides = values.get("set", [])
    if not (isinstance(overrides, list) and all(isinstance(word, str) and "=" in word for word in overrides)):
        raise UserError(f"{where}: 'set' is {overrides!r}, a list like [method.alpha=1.0] is expected")
    checks.foreign_words(where, overrides, values)
    cell = Cell(**(values | words | {"set": tuple(overrides), "setting": values.get("setting") or ""}))
    if cell.not_published is None:
        _check_number(where, "value", cell.value, cell.digits)
    for name, spread in (("std", cell.std), ("spread", cell.spread)):
        if spread is not None:
            _check_number(where, name, spread, cell.digits if cell.std_digits is None else cell.std_digits)
    if (cell.spread is None) != (cell.spread_kind is None) or cell.spread_kind not in (None, *SPREADS):
        raise UserError(f"{where}: 'spread' needs a 'spread_kind'; choose from: {', '.join(SPREADS)}")
    _check_protocol(where, cell)
    _check_runnable(where, cell)
    return cell


def _check_types(raw: Mapping[str, Any], where: str, skipped: set[str]) -> None:
    for name, value in raw.items():
        kinds = _TYPES.get(name, (str,))
        if name in skipped or name == LINE or value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{where}: '{name}' is {value!r}, a {kinds[-1].__name__} is expected")


def _check_number(where: str, name: str, value: float, digits: int) -> None:
    if not math.isfinite(value) or round(value, digits) != value:
        raise UserError(f"{where}: '{name}' is {value}, which does not have {digits} decimals")
    if name != "value" and value < 0:
        raise UserError(f"{where}: '{name}' is {value}")


def _check_protocol(where: str, cell: Cell) -> None:
    _check_named(where, "probes", cell.probes)
    probed = probes_of(cell.probes) if cell.probes else ()
    for name, word in (("protocol", cell.protocol), ("nearest", cell.nearest)):
        known = (*PROTOCOLS, UNKNOWN, OTHER) if name == "protocol" else PROTOCOLS
        if word is not None and word not in known and word.split("/")[0] not in probed:
            hint = f"{nearest(word, known)}, or say with `probes:` what measures it"
            raise UserError(f"{where}: '{name}' is '{word}'; {hint}")
    metric, unit = ANSWERED.get(cell.metric, (None, cell.unit))
    if cell.unit != unit:
        raise UserError(f"{where}: '{cell.metric}' is counted in {unit}, not in {cell.unit}")
    ours = cell.compared_with
    if ours and (metric is None or (ours in PROTOCOLS and ours.split("/")[0] != metric)):
        raise UserError(f"{where}: '{cell.metric}' cannot be compared with our {ours}")


def _check_runnable(where: str, cell: Cell) -> None:
    if cell.not_runnable is not None:
        return
    if cell.protocol == UNKNOWN and not cell.nearest:
        raise UserError(f"{where}: the protocol is unknown; say with `nearest:` what to compare")
    if cell.protocol == OTHER and not cell.note:
        raise UserError(f"{where}: the protocol is another one; say with `note:` which")
    for group, name in (("experiment", cell.experiment), ("method", cell.method)):
        if name is None:
            raise UserError(f"{where}: '{group}' is missing; or say `not_runnable: <why>`")
        _check_named(where, group, name)


def _check_named(where: str, group: str, name: str | None) -> None:
    if name is not None and not (CONFIGS / group / f"{name}.yaml").is_file():
        raise UserError(f"{where}: there is no {group} '{name}'; {nearest(name, words_of(group))}")


def _check_distinct(where: str, cells: Iterable[Cell]) -> None:
    seen = set()
    for cell in cells:
        place = (cell.label, cell.dataset, cell.model, cell.metric, cell.setting, cell.set)
        if place in seen:
            raise UserError(f"{where}: two cells for {', '.join(place[:4])}")
        seen.add(place)
