"""A row of the benchmark: what was measured, against what, and whether a goal is met; as text and as CSV."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.timing import Spread
from msda_train.core.files import replace_file


@dataclass(frozen=True)
class Goal:
    """What has to be reached and what is aimed at; `at_most` where less is better."""

    must: float
    strive: float
    at_most: bool

    def met(self, value: float) -> str:
        """ "strive", "must" or "missed", of the median."""
        for name in ("strive", "must"):
            limit = getattr(self, name)
            if (value <= limit) if self.at_most else (value >= limit):
                return name
        return "missed"


def at_most(must: float, strive: float) -> Goal:
    """A goal where less is better, in the unit of what is judged."""
    return Goal(must, strive, True)


def at_least(must: float, strive: float) -> Goal:
    """A goal where more is better."""
    return Goal(must, strive, False)


@dataclass(frozen=True)
class Reach:
    """How near the machine's own limit, measured in the same process, ours comes."""

    rate: float
    unit: str  # GB/s | TFLOP/s
    share: float


@dataclass(frozen=True)
class Row:
    """One line. `judged` is what the goal is about: the ratio in `judged_unit` "x", or ours itself. Where
    nothing could be compared it is None and `note` says why."""

    number: int
    what: str
    ours: Spread | None
    unit: str
    other: str = ""
    theirs: Spread | None = None
    judged: Spread | None = None
    judged_unit: str = "x"
    goal: Goal | None = None
    rounds: int = 0
    note: str = ""
    reach: Reach | None = None

    @property
    def met(self) -> str:
        """`Goal.met` of the median; "-" where there is no goal or nothing was measured."""
        return self.goal.met(self.judged.median) if self.goal and self.judged else "-"


WIDTHS = (3, 52, 26, 34, 26, 15, 7)
HEAD = ("#", "what", "ours", "against", "ratio [25-75 %]", "must / strive", "met")


def line(row: Row, *, with_reach: bool = False) -> str:
    """The row for a terminal; with its note behind, if any."""
    goal = "-"
    if row.goal:
        sign = "<=" if row.goal.at_most else ">="
        goal = f"{sign} {_short(row.goal.must)} / {_short(row.goal.strive)}"
    against = row.other if row.theirs is None else f"{row.other} {quantity(row.theirs.median, row.unit)}"
    ours = quantity(row.ours.median, row.unit) if row.ours else "-"
    cells = [str(row.number), row.what, ours, against or "-", ratio_text(row), goal, row.met]
    text = _columns(cells)
    if with_reach and row.reach:
        text += f"  {row.reach.rate:.0f} {row.reach.unit}, {100 * row.reach.share:.0f} % of this device's"
    return text.rstrip() + (f"\n    {row.note}" if row.note else "")


def header() -> str:
    """The line above `line`'s."""
    return _columns(HEAD).rstrip()


def ratio_text(row: Row) -> str:
    """`1.02x [1.01-1.04]`, with the unit of what is judged, or `-`."""
    if row.judged is None:
        return "-"
    unit = "x" if row.judged_unit == "x" else f" {row.judged_unit}"
    low, high = _short(row.judged.low), _short(row.judged.high)
    return f"{_short(row.judged.median)}{unit} [{low}-{high}]"


def quantity(value: float, unit: str) -> str:
    """`1,230 us` or `0.725 s`: three digits, or whole numbers from 1,000 on."""
    return f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{_short(value)} {unit}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _columns(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))


def as_record(row: Row, made_with: Mapping[str, object]) -> dict[str, str]:
    """The row as CSV columns, with what it was made with behind."""
    record: dict[str, object] = {"number": row.number, "what": row.what, "unit": row.unit}
    for name, value in (("ours", row.ours), ("theirs", row.theirs), ("judged", row.judged)):
        record |= {
            name: value.median if value else "",
            f"{name}_low": value.low if value else "",
            f"{name}_high": value.high if value else "",
        }
    record |= {
        "other": row.other,
        "judged_unit": row.judged_unit if row.judged else "",
        "must": row.goal.must if row.goal else "",
        "strive": row.goal.strive if row.goal else "",
        "goal": ("at most" if row.goal.at_most else "at least") if row.goal else "",
        "met": row.met,
        "rounds": row.rounds,
        "note": row.note,
        "rate": row.reach.rate if row.reach else "",
        "rate_unit": row.reach.unit if row.reach else "",
        "rate_share": row.reach.share if row.reach else "",
        **made_with,
    }
    return {key: f"{value:.6g}" if isinstance(value, float) else str(value) for key, value in record.items()}


def write_csv(path: Path, records: Iterable[Mapping[str, str]], replaced: str) -> None:
    """Writes `records`; of a file that is there, what has another value in column `replaced` is kept."""
    new = list(records)
    measured = {record[replaced] for record in new}
    records = [record for record in read_csv(path) if record.get(replaced) not in measured] + new
    records.sort(key=_in_order)
    columns = list(dict.fromkeys(key for record in records for key in record))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, out.getvalue().encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The records of a file that `write_csv` wrote; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _in_order(record: Mapping[str, str]) -> int:
    number = record.get("number", "")
    return int(number) if number.isdigit() else 0
