"""Rows: one JSON file per finished run, written once and read with suspicion.

A row may come from anywhere (a colleague, another machine), so nothing it names is imported or executed and
its own fingerprint is recomputed. A bad row costs one line of complaint, never the table.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msda_train.config.fingerprint import fingerprints
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.records.row_checks import NAMES, checksum, parse, probed
from msda_train.records.summary import CLASSIFICATION, HELD_OUT


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
    signed: bool = False  # whether it carries a checksum, which it then fits
    teacher: str | None = None  # which finished run taught its method, where one did and the row says so
    task: str = CLASSIFICATION
    probes: Mapping[str, Any] = field(default_factory=dict)  # as stored; `probe_records` looks through it
    stopped_after: int | None = None  # the epochs that were trained, where recipe.patience ended them

    @property
    def held_out(self) -> bool:
        """Whether its numbers are of a part of the training examples, not of test examples."""
        return self.data.get("measured_on") == HELD_OUT

    @property
    def epochs(self) -> Any:
        """How many it trained for: what its recipe says, which need not be a number, unless it stopped."""
        return self.stopped_after or self.config["recipe"].get("epochs")

    @property
    def key(self) -> tuple[str, str, int]:
        """Rows that agree in this must agree in their metrics."""
        return self.fingerprint, self.data["content"], self.seed


def write_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write `row` so that a reader finds the whole file or none, also after a power cut."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, _text({**row, "checksum": checksum(row)}).encode())


def add_probe(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Adds what the probe `name` found to the row at `path`; a number that is there already stays.

    found: numbers (name to float), records (of each its name and the columns of its setting), options (as
    asked, JSON-ready), remarks, environment.
    """
    raw = _read(Path(path))
    before = raw.setdefault("probes", {}).get(name, {"numbers": {}, "asked": []})
    numbers = dict(found["numbers"]) | before["numbers"]
    asked = {key: found[key] for key in ("options", "remarks", "environment")}
    records = {record["name"]: dict(record) for record in found.get("records", ())}
    records |= {record["name"]: record for record in before.get("records", ())}
    told = {"records": list(records.values())} if records else {}
    raw["probes"][name] = {"numbers": numbers, **told, "asked": [*before["asked"], asked]}
    write_row(path, raw)


def already_asked(path: Path, name: str, options: Mapping[str, Any]) -> bool:
    """Whether the row at `path` has the answers of the probe `name` with just these options, wherever its
    data lay."""
    probes = _read(Path(path)).get("probes", {})
    wanted = _without_place(options)
    return any(_without_place(asked["options"]) == wanted for asked in probes.get(name, {}).get("asked", []))


def _without_place(options: Any) -> Any:
    return {key: value for key, value in options.items() if key != "root"} if options else options


def read_row(path: Path) -> Row:
    """The row at `path`; UserError of one line, file first, if it is not a sound one."""
    raw = _read(Path(path))
    config = _as_made(raw["config"])
    try:
        marks = fingerprints(config)
        return Row(
            path=Path(path),
            fingerprint=marks[0],
            column=marks[1],
            seed=raw["seed"],
            names={name: raw["names"].get(name) for name in NAMES},
            config=config,
            metrics={**{name: float(value) for name, value in raw["metrics"].items()}, **probed(raw)},
            images_per_second=raw["images_per_second"],
            seconds=raw["seconds"],
            data=raw["data"],
            environment=raw["environment"],
            signed="checksum" in raw,
            teacher=raw.get("teacher"),
            task=raw.get("task", CLASSIFICATION),
            probes=raw.get("probes", {}),
            stopped_after=raw.get("stopped_after"),
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _as_made(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`config`, with what it could not say when the row was written: wide networks of variant `manifold` once
    started from other weights than today's."""
    model = config.get("model")
    if not isinstance(model, dict) or not str(model.get("_target_")).endswith(".wide_resnet"):
        return config
    old = model.get("variant") == "manifold" and "init" not in model
    return {**config, "model": {**model, "init": "xavier"}} if old else config


def _read(path: Path) -> dict[str, Any]:
    """What the file of a sound row holds; UserError of one line, file first."""
    try:
        return parse(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON or cut off (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, a thousand digits, brackets without end
        raise UserError(f"{path}: not JSON that can be read ({type(error).__name__})") from None


def unsigned(rows: Iterable[Row]) -> str | None:
    """A remark on rows that nobody can tell from changed ones; None where all carry a checksum."""
    count = sum(not row.signed for row in rows)
    return f"rows from before rows had a checksum: {count}" if count else None


def load_rows(places: Iterable[Path], task: str | None = CLASSIFICATION) -> tuple[list[Row], list[str]]:
    """The sound rows of a task (None: of any) at or under `places`, and one line for each file that is none.

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
        if task not in (None, row.task):
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
    """Where a row is kept below results/rows: `<experiment or column>/<fingerprint>-s<seed>.json`; of data
    that are no official set `<column>-<content>/...`."""
    parts = [row.names[node] or "unnamed" for node in ("dataset", "model", "recipe")]
    if row.task != CLASSIFICATION:
        parts = [row.task, *(part.removeprefix(f"{row.task}/") for part in parts)]
    folder = row.names["experiment"] or "-".join(parts)
    own = not row.data["complete"] and row.config["dataset"].get("root") is not None
    if own:  # whatever the experiment says, and each set in a folder of its own
        folder = "-".join([*parts, str(row.data["content"])[:8]])
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


def _text(row: Mapping[str, Any]) -> str:
    """JSON with one line per key and per epoch: a person can read it and a diff stays small."""
    lines = []
    for key, value in row.items():
        text = json.dumps(value, allow_nan=False)
        if key == "history":
            text = "[\n  " + ",\n  ".join(json.dumps(epoch, allow_nan=False) for epoch in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
