"""Write results/figures/*.svg from the rows in results/rows: `make figures`.

They are drawn by the report's own code and hold no time of day: the same rows give the same bytes, which
tests/report/test_figures.py checks.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msda_train.errors import UserError
from msda_train.report.book import Book, open_book
from msda_train.report.curves import PANELS, curve_panel, legend_in_file
from msda_train.report.plots import seeds_drawing
from msda_train.report.svg import Drawing, as_file, at, beside, stacked, text
from msda_train.results.rows import load_rows
from msda_train.results.table import Block

REPO = Path(__file__).resolve().parents[1]
ROWS = REPO / "results" / "rows"
FIGURES = REPO / "results" / "figures"
MARGIN, WIDTH = 16.0, 640.0
LEAST_METHODS = 3  # a column of fewer compares nothing


def figures(places: Sequence[Path]) -> dict[str, str]:
    """File name to SVG text, of every column with enough methods; UserError where a kept row is damaged."""
    rows, complaints = load_rows(places)
    if complaints:
        raise UserError(complaints[0])
    book = open_book([], rows, made=datetime.fromtimestamp(0, UTC))
    blocks = [block for block in book.blocks.values() if len(block.lines) >= LEAST_METHODS]
    if not blocks:
        return {}
    titles = ", ".join(block.words for block in blocks)
    seeds = stacked(*(_titled(block, seeds_drawing(block, WIDTH)) for block in blocks), gap=2 * MARGIN)
    curves = stacked(*(_titled(block, _curves(book, block)) for block in blocks), gap=2 * MARGIN)
    return {
        "seeds.svg": as_file(_framed(seeds), "Every seed of every method", f"Test errors: {titles}"),
        "learning_curves.svg": as_file(_framed(curves), "Learning curves", f"By epoch: {titles}"),
    }


def _curves(book: Book, block: Block) -> Drawing:
    found = book.curves(block)
    panels = [drawing for panel in PANELS if (drawing := curve_panel(found, panel))]
    plots = beside(*panels)
    return stacked(legend_in_file(found, plots.width), plots, gap=0)


def _titled(block: Block, drawing: Drawing) -> Drawing:
    return stacked(Drawing(drawing.width, 14, text((0, 12), block.words, "head")), drawing, gap=8)


def _framed(drawing: Drawing) -> Drawing:
    """With a margin on each side."""
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN
    return Drawing(width, height, at(MARGIN, MARGIN, drawing.marks))


def main() -> int:
    """Exit code 0, or 2 where a kept row is damaged."""
    try:
        made = figures([ROWS])
    except UserError as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, svg in made.items():
        (FIGURES / name).write_text(svg, encoding="utf-8")
    print(f"{FIGURES.relative_to(REPO)}: {', '.join(made) or 'no column with enough methods'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
