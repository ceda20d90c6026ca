"""Copy finished rows from runs/ to results/rows/: `python scripts/keep_rows.py [FOLDER ...]`.

A row that is already kept is left alone, unless the run has been through probes since; one that says
something else is never overwritten.
"""

import sys
from pathlib import Path

from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.records.rows import kept_name, load_rows, one_line, read_row, same_run

KEPT = Path("results/rows")


def keep(places: list[Path], kept: Path) -> tuple[list[Path], list[str]]:
    """The files written, and one line for each row that could not be kept."""
    rows, complaints = load_rows(places, task=None)
    written = []
    for row in rows:
        try:
            target = kept / kept_name(row)
            if target.exists():
                there = read_row(target)
                if there.key != row.key or not same_run(there, row):
                    raise UserError(f"{row.path}: {target} is kept and differs; move one of them away")
                if there.metrics.keys() >= row.metrics.keys():
                    continue
        except UserError as error:
            complaints.append(one_line(error))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, row.path.read_bytes())
        written.append(target)
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
