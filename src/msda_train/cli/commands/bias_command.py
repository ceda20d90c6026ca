"""`msda-table bias`: best minus last epoch per method, what choosing the epoch on the test set is worth."""

from pathlib import Path

from msda_train.cli.parser import (
    DEFAULT_FOLDERS,
    Parser,
    add_styles,
    existing_folders,
    in_colour,
    sound_rows,
)
from msda_train.core.errors import UserError
from msda_train.records.summary import METRICS
from msda_train.reporting.bias import bias_blocks, bias_grid, bias_records
from msda_train.reporting.grid import csv_text, draw


def main(words: list[str]) -> int:
    """Print one table per column. Exit code 2 if there are bad rows."""
    parser = Parser(
        prog="msda-table bias",
        description="Test-selection bias: the best epoch's number minus the last one's, from the same runs.",
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="default: runs, results/rows")
    parser.add_argument("--metric", choices=METRICS, default="error", help="default: error")
    add_styles(parser)
    args = parser.parse_args(words)
    folders = existing_folders(args.folders)
    rows, code = sound_rows(folders)
    if not rows:
        places = " or ".join(map(str, folders or DEFAULT_FOLDERS))
        raise UserError(f"no rows under {places}; type: msda-train method=erm")
    blocks = bias_blocks(rows)
    if args.style == "csv":
        print(csv_text(bias_records(blocks, args.metric)), end="")
    else:
        grids = [bias_grid(block, args.metric) for block in blocks]
        print(draw(grids, args.style, colour=in_colour()), end="")
    return code
