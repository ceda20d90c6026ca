"""Write results/figures/ from the rows in results/rows: `make figures`.

They are drawn by the report's own code and hold no time of day: the same rows give the same bytes, which
tests/reporting/test_figures.py checks.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msda_train.comparison.frontier import frontier_frame
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows
from msda_train.reporting.curves import Curve, curves_picture
from msda_train.reporting.draw import rendered
from msda_train.reporting.frontier import frontier_picture
from msda_train.reporting.pictures.picture import Picture, figure
from msda_train.reporting.pictures.snapshots import snapshots_figure
from msda_train.reporting.plots import published_picture, seeds_picture
from msda_train.reporting.report import make_report

REPO = Path(__file__).resolve().parents[1]
ROWS = REPO / "results" / "rows"
FIGURES = REPO / "results" / "figures"
WIDTH = 6.6  # inches
LEAST_METHODS = 3  # a column of fewer compares nothing
MOST_METHODS = 20  # more curves cannot be told apart


def figures(places: Sequence[Path]) -> dict[str, bytes]:
    """File name to content, of every column with enough methods; UserError where a kept row is damaged."""
    rows, complaints = load_rows(places)
    if complaints:
        raise UserError(complaints[0])
    generated = lines_frame(load_rows(places, "gan")[0])
    report = make_report(load_papers(), rows, made=datetime.fromtimestamp(0, UTC))
    published = report.compared[report.compared["rows"].map(bool)]
    groups = report.lines.groupby(["block", "words"])
    blocks = [(block, words) for (_, words), block in groups if LEAST_METHODS <= len(block) <= MOST_METHODS]
    seeds: list[tuple[Picture, str]] = [(seeds_picture(block, WIDTH), words) for block, words in blocks]
    by_block = generated.groupby(["block", "words"])
    seeds += [(seeds_picture(block, WIDTH), words) for (_, words), block in by_block]
    courses = [(found, words) for block, words in blocks if _long(found := report.curves(block))]
    curves = [(made, words) for found, words in courses if (made := curves_picture(found))]
    files: dict[str, bytes] = {}
    for name, pictures in (("seeds", seeds), ("learning_curves", curves)):
        if pictures:
            content = rendered(partial(figure, _one_title(pictures)))
            files |= {f"{name}.{kind}": made for kind, made in content.items()}
    for (paper, table), cells in published.groupby(["paper", "table"], sort=False):
        content = rendered(partial(figure, [(published_picture(cells), f"{paper}/{table}")]))
        files |= {f"published_{paper}_{table}.{kind}": made for kind, made in content.items()}
    against_cost = frontier_picture(frontier_frame(report.lines), "steps", LEAST_METHODS)
    if against_cost:
        content = rendered(partial(figure, [(against_cost, "")]))
        files |= {f"frontier.{kind}": made for kind, made in content.items()}
    if len(generated):
        content = rendered(lambda: snapshots_figure(generated))
        files |= {f"gan.{kind}": made for kind, made in content.items()}
    return files


def _long(curves: Sequence[Curve]) -> bool:
    """Whether there is a course: a single epoch has none."""
    return any(len(seed) > 1 for curve in curves for seed in curve.seeds)


def _one_title(pictures: Sequence[tuple[Picture, str]]) -> list[tuple[Picture, str]]:
    """Below the first picture only the words of each column."""
    first, *rest = pictures
    return [first, *((replace(picture, title=""), words) for picture, words in rest)]


def main() -> int:
    """Exit code 0, or 2 where a kept row is damaged."""
    try:
        made = figures([ROWS])
    except UserError as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (FIGURES / name).write_bytes(content)
    print(f"{FIGURES.relative_to(REPO)}: {', '.join(made) or 'no column with enough methods'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
