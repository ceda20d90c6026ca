"""`msda-table bias`: best minus last epoch per method, what choosing the epoch on the test set is worth."""

from msda_train.cli.files import print_grids, some_rows
from msda_train.cli.parser import Parser, add_folders, add_metric, add_styles
from msda_train.reporting.bias import bias_grid, bias_lines, bias_records


def main(words: list[str]) -> int:
    """Print one table per column. Exit code 2 if there are bad rows."""
    parser = Parser(
        prog="msda-table bias",
        description="Test-selection bias: the best epoch's number minus the last one's, from the same runs.",
    )
    add_folders(parser)
    add_metric(parser)
    add_styles(parser)
    args = parser.parse(words)
    rows, code = some_rows(args.folders)
    lines = bias_lines(rows, args.metric)
    grids = [bias_grid(block, args.metric) for _, block in lines.groupby("block")]
    print_grids(grids, args.style, lambda: bias_records(lines, args.metric))
    return code
