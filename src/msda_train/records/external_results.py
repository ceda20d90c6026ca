"""Rows from elsewhere: other programs' logs and tables, kept apart from ours.

A foreign row is one JSON file of schema "foreign-1", which no reader of our own rows takes for one: it says
from which file it comes (name, SHA-256, format), what it is about in the importer's words, and metrics as
fractions. It has no configuration, so no fingerprint, and enters no mean and no verdict.

Foreign files are untrusted text: never imported, executed or unpickled, bounded in size, NaN refused.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.records.external_formats import FORMATS, Record, read_records
from msda_train.records.rows import one_line

SCHEMA = "foreign-1"
DEFAULT_FOLDER = Path("results/foreign")
WORDS = ("dataset", "model", "method", "recipe")
MOST_BYTES = 256 << 20  # the verbose log of 300 epochs has some 40 MB
_WORD = re.compile(r"[\w.+-]{1,64}")


@dataclass(frozen=True)
class ExternalResult:
    """One foreign row. `metrics`: fractions (nats for nll), names as in summary.PROTOCOLS."""

    path: Path
    source: str  # the imported file's name
    sha256: str
    format: str
    names: Mapping[str, str]  # dataset, model, method, recipe; the last may be ""
    seed: int | None
    epochs: int | None
    metrics: Mapping[str, float]


def import_file(path: Path, words: Mapping[str, str], folder: Path = DEFAULT_FOLDER) -> list[Path]:
    """Writes the rows in `path` into `folder` and returns their files; importing twice changes nothing.

    `words`: what a log does not say: dataset, model, method, recipe, seed. UserError for what is wrong.
    """
    content = _bytes(path)
    format_, records = read_records(str(path), content, words)
    digest = hashlib.sha256(content).hexdigest()
    made = []
    for number, record in enumerate(records):
        _check_names(path, record)
        stem = "-".join([record.names["method"], record.names["dataset"], digest[:12]])
        target = folder / f"{stem}{f'-{number}' if len(records) > 1 else ''}.json"
        raw = _raw(record, path.name, digest, format_)
        if target.exists():
            _same(target, raw)
        else:
            _write(target, raw)
        made.append(target)
    return made


def load_foreign(folder: Path = DEFAULT_FOLDER) -> tuple[list[ExternalResult], list[str]]:
    """All sound foreign rows in `folder` by name, and one line for each file that is none."""
    rows, complaints = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            rows.append(read_foreign(path))
        except UserError as error:
            complaints.append(one_line(error))
    return rows, complaints


def read_foreign(path: Path) -> ExternalResult:
    """The foreign row at `path`; UserError of one line, file first."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["schema"] != SCHEMA:
            raise UserError(f"{path}: schema {raw['schema']!r} is unknown here, {SCHEMA!r} is expected")
        origin, names = raw["foreign"], {name: str(raw["names"][name]) for name in WORDS}
        metrics = {str(key): float(value) for key, value in raw["metrics"].items()}
        if not metrics or not all(0 <= value < float("inf") for value in metrics.values()):
            raise UserError(f"{path}: a metric is missing, negative or not finite")
        return ExternalResult(
            path=path,
            source=str(origin["file"]),
            sha256=str(origin["sha256"]),
            format=str(origin["format"]),
            names=names,
            seed=None if raw["seed"] is None else int(raw["seed"]),
            epochs=None if raw["epochs"] is None else int(raw["epochs"]),
            metrics=metrics,
        )
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise UserError(f"{path}: not a foreign row of msda-train, or cut off") from None


def foreign_table(rows: Iterable[ExternalResult]) -> str:
    """The foreign rows as a table of their own, in percent; the heading says that they are foreign."""
    from tabulate import tabulate

    heads = [
        "dataset",
        "model",
        "method",
        "recipe",
        "seed",
        "error last %",
        "best %",
        "median last 10 %",
        "from",
    ]
    keys = ("error/last", "error/best", "error/median_last10")
    body = []
    for row in rows:
        percent = [f"{100 * row.metrics[key]:.2f}" if key in row.metrics else "-" for key in keys]
        seed = "-" if row.seed is None else str(row.seed)
        origin = f"{row.source} ({row.format}, {row.sha256[:8]})"
        words = [*(row.names[name] or "-" for name in WORDS), seed, *percent, origin]
        body.append([one_line(word) for word in words])
    table = tabulate([heads, *body], tablefmt="plain", disable_numparse=True)
    lines = [line.rstrip() for line in table.splitlines()]
    lines.insert(1, "-" * max(map(len, lines)))
    note = "Foreign rows: not made by msda-train; never part of a mean, a verdict or another table."
    return "\n".join([note, "", *lines]) + "\n"


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: larger than {MOST_BYTES >> 20} MiB; import the per-epoch lines only")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _check_names(path: Path, record: Record) -> None:
    """Names become part of file names, so they are plain words."""
    for name in WORDS:
        value = record.names.get(name, "")
        if not value and name != "recipe":
            raise UserError(f"{path}: does not say its {name}; type {name}=NAME")
        if value and (not _WORD.fullmatch(value) or value.startswith(".")):
            raise UserError(f"{path}: {name} {one_line(value)!r} is not a plain word; type {name}=NAME")


def _raw(record: Record, name: str, digest: str, format_: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "foreign": {
            "file": name,
            "sha256": digest,
            "format": format_,
            "about": FORMATS[format_],
            "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        **asdict(record),
    }


def _same(target: Path, raw: Mapping[str, Any]) -> None:
    there = read_foreign(target)
    if there.metrics != raw["metrics"] or there.names != raw["names"] or there.seed != raw["seed"]:
        raise UserError(f"{target}: is there and says something else; move it away to import the file again")


def _write(target: Path, raw: Mapping[str, Any]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, (json.dumps(raw, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); type --to FOLDER") from None
