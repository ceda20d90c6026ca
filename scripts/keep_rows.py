"""Copy finished rows from runs/ to results/rows/: `python scripts/keep_rows.py [FOLDER ...]`.

A row that is already kept is left alone, unless the run has been through probes since; one that says
something else is never overwritten.
"""

import sys
from pathlib import Path

from msda_train.core.errors import UserError
from msda_train.launch.keep import keep as keep_row
from msda_train.records.rows import load_rows, one_line

KEPT = Path("results/rows")


def keep(places: list[Path], kept: Path) -> tuple[list[Path], list[str]]:
    """The files written, and one line for each row that could not be kept."""
    rows, complaints = load_rows(places, task=None)
    written = []
    for row in rows:
        try:
            target = keep_row(row, kept)
        except UserError as error:
            complaints.append(one_line(error))
            continue
        written += [target] if target else []
    return written, complaints


def main() -> int:
    written, complaints = keep([Path(word) for word in sys.argv[1:]] or [Path("runs")], KEPT)
    for target in written:
        print(target)
    for complaint in complaints:
        print(f"keep_rows: {complaint}", file=sys.stderr)
    return 2 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
