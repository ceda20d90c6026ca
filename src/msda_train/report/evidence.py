"""Behind every number: the configuration, the environment and the epochs of each run, to be linked to."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msda_train.report.history import Epoch, History, thinned
from msda_train.report.markup import Markup, join, tag
from msda_train.report.words import many, seconds_words
from msda_train.results.rows import Row
from msda_train.results.shown import NONE
from msda_train.results.table import Block, Line

LONGEST_TEXT = 20_000  # characters of one configuration or environment
_HEADS = ("epoch", "lr", "train loss", "error, %", "top-5 error, %", "NLL")


def line_id(row: Row) -> str:
    """Of a configuration on certain images. Parts of a row's own text never become part of a name."""
    return f"config-{row.fingerprint}-{_digest(row.data['content'])}"


def link(rows: Sequence[Row]) -> Markup:
    """To the configuration of `rows`, which are one line of a table."""
    words = many(len(rows), "run")
    return tag("a", words, href=f"#{line_id(rows[0])}", title="configuration, environment and history")


def evidence(blocks: Sequence[Block], history: Callable[[Row], History], most: int) -> Markup:
    """Every line of `blocks`, folded; at most `most` epochs of each run are listed."""
    environments: dict[str, int] = {}
    lines = [_line(block, line, history, most, environments) for block in blocks for line in block.lines]
    machines = [_environment(text, number) for text, number in environments.items()]
    return join(lines, tag("h3", "Environments"), machines)


def _line(
    block: Block,
    line: Line,
    history: Callable[[Row], History],
    most: int,
    environments: dict[str, int],
) -> Markup:
    row = line.rows[0]
    title = tag("strong", line.method), " ", tag("code", block.words), f" {many(len(line.rows), 'run')}"
    summary = tag("summary", *title)
    config = tag("pre", tag("code", _json(row.config)), tabindex="0")
    facts = tag("p", f"Fingerprint {row.fingerprint}. {block.facts}.")
    runs = []
    for each in line.rows:
        number = environments.setdefault(_json(each.environment), len(environments) + 1)
        runs.append(_run(each, history(each), most, number))
    folded = tag("details", tag("summary", "Configuration"), config)
    return tag("details", summary, facts, folded, runs, id=line_id(row))


def _run(row: Row, history: History, most: int, environment: int) -> Markup:
    last, best = (100 * row.metrics[f"error/{rule}"] for rule in ("last", "best"))
    said = f"error {last:.2f} % last, {best:.2f} % best; {seconds_words(row.seconds)}"
    origin = tag(
        "p",
        "File ",
        tag("code", row.path),
        ", ",
        tag("a", f"environment {environment}", href=f"#environment-{environment}"),
        f". {_shortened(history, most)}",
    )
    table = _history(row, thinned(history.epochs, most)) if history.epochs and most else None
    return tag("details", tag("summary", f"Seed {row.seed}: {said}"), origin, table)


def _shortened(history: History, most: int) -> str:
    if not history.total:
        return "The file holds no history that can be read."
    return "" if history.total <= most else f"{most} of its {history.total:,} epochs are listed."


def _history(row: Row, epochs: Sequence[Epoch]) -> Markup:
    head = tag("tr", [tag("th", word, scope="col") for word in _HEADS])
    body = [tag("tr", [tag("td", word) for word in _epoch(epoch)]) for epoch in epochs]
    caption = tag("caption", f"Epochs of seed {row.seed}")
    table = tag("table", caption, tag("thead", head), tag("tbody", body), class_="numbers")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="its epochs")


def _epoch(epoch: Epoch) -> list[str]:
    errors = [None if e is None else 100 * e for e in (epoch.error, epoch.top5_error)]
    numbers = (epoch.lr, "g"), (epoch.train_loss, ".4f"), *((e, ".2f") for e in errors), (epoch.nll, ".4f")
    return [f"{epoch.epoch:g}", *(NONE if value is None else f"{value:{form}}" for value, form in numbers)]


def _environment(text: str, number: int) -> Markup:
    summary = tag("summary", f"Environment {number}")
    return tag("details", summary, tag("pre", tag("code", text), tabindex="0"), id=f"environment-{number}")


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


def _digest(text: object) -> str:
    return hashlib.sha256(str(text).encode("utf-8", "replace")).hexdigest()[:8]
