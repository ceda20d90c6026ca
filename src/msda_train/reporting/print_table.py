"""From files to the printed table, for `msda-table` and for the end of a sweep alike."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from msda_train.core.errors import UserError, nearest
from msda_train.records.published import load_sound_papers
from msda_train.records.rows import Row, load_rows, unsigned
from msda_train.records.summary import PROTOCOLS
from msda_train.reporting.render import render


def print_table(
    places: Iterable[Path],
    *,
    style: str = "text",
    metric: str = "error",
    methods: Sequence[str] = (),
    columns: Sequence[str] = (),
    prog: str = "msda-table",
) -> int:
    """Print the table of the rows at or under `places`; bad rows go to stderr. Returns the exit code."""
    places = list(places)
    rows, complaints = load_rows(places, task=None)
    papers, slips = load_sound_papers()
    complaints += slips
    for complaint in complaints:
        print(f"{prog}: {complaint}", file=sys.stderr)
    if remark := unsigned(rows):
        print(f"{prog}: {remark}", file=sys.stderr)
    if not rows:
        raise UserError(f"no rows under {', '.join(map(str, places))}; type: msda-train method=erm")
    rows = _of_methods(rows, methods)
    known = {name for row in rows for name in row.metrics} - set(PROTOCOLS)
    for name in columns:
        if name not in known:
            hint = nearest(name, known) if known else "no row has been through a probe; type msda-probe RUN"
            raise UserError(f"--columns {name}: no row holds this number; {hint}")
    print(render(rows, style, metric, papers, columns), end="")
    return 2 if complaints else 0


def _of_methods(rows: Sequence[Row], methods: Sequence[str]) -> list[Row]:
    known = {row.names["method"] or "" for row in rows}
    for name in methods:
        if name not in known:
            raise UserError(f"no row of method '{name}'; {nearest(name, known)}")
    return [row for row in rows if not methods or row.names["method"] in methods]
