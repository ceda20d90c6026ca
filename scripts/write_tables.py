"""Write results/tables/measured.md and the README's table from the rows in results/rows: `make tables`.

No number in either is typed by hand; tests/test_tables.py fails when they are not what the rows say.
"""

import sys
from pathlib import Path

from msda_train.errors import UserError
from msda_train.results.render import render
from msda_train.results.rows import load_rows

REPO = Path(__file__).resolve().parents[1]
ROWS = REPO / "results" / "rows"
TABLE = REPO / "results" / "tables" / "measured.md"
README = REPO / "README.md"
BEGIN, END = "<!-- measured: begin, written by `make tables` -->\n", "<!-- measured: end -->"


def tables() -> str:
    """Every kept row as markdown tables."""
    rows, complaints = load_rows([ROWS])
    if complaints:
        raise UserError(complaints[0])
    return render(rows, "markdown", "error")


def with_table(readme: str, table: str) -> str:
    """`readme` with what lies between its two marks replaced."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UserError(f"README.md: the marks {BEGIN.strip()} and {END} are gone")
    return f"{head}{begin}{table}{end}{tail}"


def main() -> int:
    """Exit code 0, or 2 where a kept row is damaged."""
    try:
        table = tables()
        readme = with_table(README.read_text(), table)
    except UserError as error:
        print(f"write_tables: {error}", file=sys.stderr)
        return 2
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table)
    README.write_text(readme)
    print(f"{TABLE.relative_to(REPO)} and README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
