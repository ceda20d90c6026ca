"""Rows: one JSON file per finished run, written once and read with suspicion.

A row may come from anywhere (a colleague, another machine), so nothing it names is imported or executed and
its own fingerprint is recomputed. A bad row costs one line of complaint, never the table.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msda_train.atomic import replace_file
from msda_train.errors import UserError
from msda_train.results.fingerprint import column_fingerprint, fingerprint
from msda_train.results.summary import PROTOCOLS

SCHEMA = 1
NAMES = ("dataset", "model", "method", "recipe", "experiment")

_KEYS: dict[str, type | tuple[type, ...]] = {
    "names": dict,
    "seed": int,
    "config": dict,
    "metrics": dict,
    "history": list,
    "seconds": (int, float),
    "images_per_second": (int, float),
    "data": dict,
    "environment": dict,
}
_DATA_KEYS: dict[str, type] = {
    "content": str,
    "train_images": int,
    "test_images": int,
    "classes": int,
    "complete": bool,
}


@dataclass(frozen=True)
class Row:
    """One finished run. `fingerprint` and `column` are computed from `config`."""

    path: Path
    fingerprint: str
    column: str
    seed: int
    names: Mapping[str, str | None]  # the words typed: dataset, model, method, recipe, experiment
    config: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, float]  # fractions and nats, keys as in PROTOCOLS, and PROBE/NAME of its probes
    images_per_second: float
    seconds: float
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    probes: Mapping[str, Any] = field(default_factory=dict)  # as stored; `probe_records` looks through it

    @property
    def key(self) -> tuple[str, str, int]:
        """Rows that agree in this must agree in their metrics."""
        return self.fingerprint, self.data["content"], self.seed


def write_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write `row` so that a reader finds the whole file or none, also after a power cut."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, _text(row).encode())


def add_probe(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Adds what the probe `name` found to the row at `path`; a number that is there already stays.

    found: numbers (name to float), records (of each its name and the columns of its setting), options (as
    asked, JSON-ready), remarks, environment.
    """
    raw = json.loads(Path(path).read_text(encoding="utf-8"))
    before = raw.setdefault("probes", {}).get(name, {"numbers": {}, "asked": []})
    numbers = dict(found["numbers"]) | before["numbers"]
    asked = {key: found[key] for key in ("options", "remarks", "environment")}
    records = {record["name"]: dict(record) for record in found.get("records", ())}
    records |= {record["name"]: record for record in before.get("records", ())}
    told = {"records": list(records.values())} if records else {}
    raw["probes"][name] = {"numbers": numbers, **told, "asked": [*before["asked"], asked]}
    write_row(path, raw)


def already_asked(path: Path, name: str, options: Mapping[str, Any]) -> bool:
    """Whether the row at `path` has the answers of the probe `name` with just these options."""
    probes = json.loads(Path(path).read_text(encoding="utf-8")).get("probes", {})
    return any(asked["options"] == options for asked in probes.get(name, {}).get("asked", []))


def read_row(path: Path) -> Row:
    """The row at `path`; UserError of one line, file first, if it is not a sound one."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        return _row(Path(path), raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON or cut off (line {error.lineno}: {error.msg})") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # not UTF-8, a number of a thousand digits, brackets without end
        raise UserError(f"{path}: not JSON that can be read ({type(error).__name__})") from None


def load_rows(places: Iterable[Path]) -> tuple[list[Row], list[str]]:
    """All sound rows at or under `places`, and one line for each file that is not one.

    Copies of one run (in runs/ and in results/rows/) count once. Where two rows of the same configuration,
    data and seed disagree, the first found is used and the complaint names both.
    """
    found: dict[tuple[str, str, int], Row] = {}
    complaints = []
    for path in _row_files(places):
        try:
            row = read_row(path)
        except UserError as error:
            complaints.append(one_line(error))
            continue
        first = found.setdefault(row.key, row)
        if len(row.metrics) > len(first.metrics) and same_run(row, first):  # a copy that was probed since
            found[row.key] = row
        if not same_run(first, row):
            complaints.append(
                one_line(
                    f"{row.path}: other metrics than {first.path}, which is the same run; the latter is used"
                )
            )
    return list(found.values()), complaints


def same_run(one: Row, other: Row) -> bool:
    """Whether they agree in every number that both hold."""
    return all(one.metrics[key] == other.metrics[key] for key in one.metrics.keys() & other.metrics.keys())


def one_line(text: object) -> str:
    """`text` fit for a terminal: names in a row or a path may hold newlines and control codes."""
    return "".join(char if char.isprintable() else "?" for char in str(text))


def kept_name(row: Row) -> Path:
    """Where a row is kept below results/rows: `<experiment or column>/<fingerprint>-s<seed>.json`."""
    parts = [row.names[node] or "unnamed" for node in ("dataset", "model", "recipe")]
    folder = row.names["experiment"] or "-".join(parts)
    if not folder.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UserError(f"{row.path}: '{one_line(folder)}' cannot name a folder")
    return Path(folder) / f"{row.fingerprint}-s{row.seed}.json"


def _row_files(places: Iterable[Path]) -> Iterator[Path]:
    """In a run folder (s0, s1, ...) only row.json is a row; elsewhere each visible *.json claims to be."""
    for place in map(Path, places):
        if not place.is_dir():
            yield place
        for folder, below, files in os.walk(place):
            below[:] = sorted(name for name in below if not name.startswith("."))
            in_run = Path(folder).name[:1] == "s" and Path(folder).name[1:].isdigit()
            for name in sorted(files):
                if name == "row.json" or (name.endswith(".json") and not name.startswith(".") and not in_run):
                    yield Path(folder, name)


def _row(path: Path, raw: Any) -> Row:
    if not isinstance(raw, dict) or "schema" not in raw:
        raise UserError("not a row of msda-train (no 'schema')")
    if str(raw["schema"]).startswith("foreign-"):
        raise UserError("a foreign row, never mixed with ours; type: msda-table import --list")
    if raw["schema"] != SCHEMA:
        raise UserError(f"schema {raw['schema']!r} is unknown here, {SCHEMA} is expected; update msda-train")
    _check_types(raw, _KEYS, "")
    _check_types(raw["data"], _DATA_KEYS, "data.")
    for name in NAMES:
        if not isinstance(raw["names"].get(name), str | None):
            raise UserError(f"'names.{name}' is not a word")
    for protocol in PROTOCOLS:
        _check_metric(raw["metrics"], protocol)
    for key in ("seconds", "images_per_second"):
        _finite(raw[key], key)
    return Row(
        path=path,
        fingerprint=fingerprint(raw["config"]),
        column=column_fingerprint(raw["config"]),
        seed=raw["seed"],
        names={name: raw["names"].get(name) for name in NAMES},
        config=raw["config"],
        metrics={name: _finite(value, name) for name, value in (raw["metrics"] | _probed(raw)).items()},
        images_per_second=raw["images_per_second"],
        seconds=raw["seconds"],
        data=raw["data"],
        environment=raw["environment"],
        probes=raw.get("probes", {}),
    )


def _probed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`calibration/ece_15` and so on: what the probes found."""
    probes = raw.get("probes", {})
    if not isinstance(probes, dict) or not all(
        isinstance(answers, dict) and isinstance(answers.get("numbers"), dict) for answers in probes.values()
    ):
        raise UserError("'probes' is not a dict of dicts with 'numbers'")
    found = {name: answers["numbers"] for name, answers in probes.items()}
    return {f"{name}/{key}": value for name, numbers in found.items() for key, value in numbers.items()}


def _check_types(raw: Mapping[str, Any], keys: Mapping[str, Any], prefix: str) -> None:
    for key, kind in keys.items():
        if key not in raw:
            raise UserError(f"'{prefix}{key}' is missing")
        if not isinstance(raw[key], kind) or (isinstance(raw[key], bool) and kind is not bool):
            raise UserError(f"'{prefix}{key}' is a {type(raw[key]).__name__}")


def _check_metric(metrics: Mapping[str, Any], protocol: str) -> None:
    if protocol not in metrics:
        raise UserError(f"metric '{protocol}' is missing")
    value = _finite(metrics[protocol], protocol)
    if value < 0 or (value > 1 and not protocol.startswith("nll")):
        raise UserError(f"metric '{protocol}' is {value:g}: errors are fractions, nll is at least 0")


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"'{name}' is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"'{name}' is {number}")
    return number


def _refuse_constant(word: str) -> None:
    raise UserError(f"holds {word}, so the run did not end well")


def _text(row: Mapping[str, Any]) -> str:
    """JSON with one line per key and per epoch: a person can read it and a diff stays small."""
    lines = []
    for key, value in row.items():
        text = json.dumps(value, allow_nan=False)
        if key == "history":
            text = "[\n  " + ",\n  ".join(json.dumps(epoch, allow_nan=False) for epoch in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
