"""`msda-table frontier [FOLDER...]`: test error against cost, and which methods nothing cheaper beats."""

from msda_train.cli.files import print_grids, some_rows
from msda_train.cli.parser import Parser, add_folders, add_styles
from msda_train.comparison.frontier import COSTS, frontier_frame
from msda_train.comparison.table import lines_frame
from msda_train.reporting.frontier import frontier_grids


def main(words: list[str]) -> int:
    """Print a table for each data set and network, or machine. Exit code 2 if there are bad rows."""
    parser = Parser(
        prog="msda-table frontier",
        description="Test error against cost of all runs: which methods nothing cheaper beats.",
    )
    add_folders(parser)
    parser.add_argument(
        "--cost",
        choices=list(COSTS),
        default="steps",
        help="steps (default): epochs times the method's step over ERM's, of the benchmark; seconds: as the "
        "runs took, on one machine",
    )
    add_styles(parser)
    args = parser.parse(words)
    rows, code = some_rows(args.folders)
    grids = frontier_grids(frontier_frame(lines_frame(rows), args.cost), args.cost)
    print_grids(
        grids,
        args.style,
        lambda: [{"group": grid.title, **line} for grid in grids for line in grid.table.to_dict("records")],
    )
    return code
