"""Behind every number: the configuration, the environment and the epochs of each run, to be linked to."""

import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from markupsafe import Markup
from pandas import Series

from msda_train.records.rows import Row
from msda_train.reporting import limits
from msda_train.reporting.history import Epoch, History, thinned
from msda_train.reporting.number_words import seconds_words
from msda_train.reporting.report import Report
from msda_train.reporting.table_view import NONE
from msda_train.reporting.template import render

LONGEST_TEXT = 20_000  # characters of one configuration or environment
_HEADS = ("epoch", "lr", "train loss", "error, %", "top-5 error, %", "NLL")


def line_id(row: Row) -> str:
    """Of a configuration on certain images. Parts of a row's own text never become part of a name."""
    digest = hashlib.sha256(str(row.data["content"]).encode("utf-8", "replace")).hexdigest()[:8]
    return f"config-{row.fingerprint}-{digest}"


def evidence(report: Report) -> Markup:
    """Every line that the page has room for, folded, with some epochs of each run."""
    shown = [row for rows in report.evident["rows"] for row in rows]
    most = min(limits.MOST_EPOCHS, max(4, limits.EPOCHS // max(len(shown), 1)))
    numbers, environments = Series([_json(row.environment) for row in shown], dtype=object).factorize()
    runs = (_run(row, report.history(row), most, n + 1) for row, n in zip(shown, numbers, strict=True))
    lines = [
        {
            **{"id": line_id(line.rows[0]), "method": line.method, "words": line.words, "facts": line.facts},
            **{"fingerprint": line.fingerprint, "config": _json(line.rows[0].config)},
            "runs": list(islice(runs, line.seeds)),
        }
        for line in report.evident.itertuples()
    ]
    rest = len(report.rows) - len(shown)
    said = (
        f"{rest:,} more runs are left out to keep this page small; their files hold all of this."
        if rest
        else ""
    )
    return render("evidence", lines=lines, environments=list(environments), left_out=said)


def _run(row: Row, history: History, most: int, environment: int) -> dict[str, Any]:
    last, best = (100 * row.metrics[f"error/{rule}"] for rule in ("last", "best"))
    table = None
    if history.epochs:
        rows = [_epoch(epoch) for epoch in thinned(history.epochs, most)]
        table = render("epochs", seed=row.seed, heads=_HEADS, rows=rows)
    return {
        "seed": row.seed,
        "said": f"error {last:.2f} % last, {best:.2f} % best; {seconds_words(row.seconds)}",
        "path": str(row.path),
        "environment": environment,
        "shortened": _shortened(history, most),
        "table": table,
    }


def _shortened(history: History, most: int) -> str:
    if not history.total:
        return "The file holds no history that can be read."
    return "" if history.total <= most else f"{most} of its {history.total:,} epochs are listed."


def _epoch(epoch: Epoch) -> list[str]:
    errors = [None if e is None else 100 * e for e in (epoch.error, epoch.top5_error)]
    numbers = (epoch.lr, "g"), (epoch.train_loss, ".4f"), *((e, ".2f") for e in errors), (epoch.nll, ".4f")
    return [f"{epoch.epoch:g}", *(NONE if value is None else f"{value:{form}}" for value, form in numbers)]


def _json(value: Mapping[str, Any]) -> str:
    """Indented as deep as a person reads: one line for each option."""
    try:
        lines = [f" {json.dumps(str(key))}: {_item(item)}" for key, item in value.items()]
    except (RecursionError, ValueError, TypeError):
        return "(too deeply nested to be shown)"
    text = "{\n" + ",\n".join(lines) + "\n}"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} (cut off)"


def _item(item: Any) -> str:
    if not isinstance(item, dict) or not item:
        return json.dumps(item, ensure_ascii=False)
    inner = [f"  {json.dumps(str(key))}: {json.dumps(one, ensure_ascii=False)}" for key, one in item.items()]
    return "{\n" + ",\n".join(inner) + "\n }"
