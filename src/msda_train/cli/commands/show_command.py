"""`msda-table show PAPER/TABLE`: a published table beside our runs, cell by cell, with a verdict each."""

from pathlib import Path

from msda_train.cli.files import existing_folders, print_grids, sound_papers, sound_rows
from msda_train.cli.parser import Parser, add_published, add_styles
from msda_train.comparison.compare import compare, find_table, resembling
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError
from msda_train.reporting.table_view import records, table_grids


def main(words: list[str]) -> int:
    """Print one table, or all. Exit code 2 if there are bad rows; the good ones are still shown."""
    parser = Parser(
        prog="msda-table show",
        description="A published table beside the finished runs of exactly its configurations. The number in "
        "parentheses is how many runs; what a cell is: msda-table why PAPER/TABLE/CELL.",
    )
    parser.add_argument(
        "words", nargs="*", metavar="PAPER/TABLE [FOLDER...]", help="rows: runs, results/rows"
    )
    parser.add_argument("--all", action="store_true", help="every table; then all words are folders")
    add_styles(parser)
    add_published(parser)
    args = parser.parse(words)
    if not args.all and not args.words:
        raise UserError("which table? type: msda-table show PAPER/TABLE, or show --all; msda-table list")
    papers, slips = sound_papers(args.published)
    only = None
    if not args.all:
        paper, table = find_table(papers, args.words.pop(0))
        only = (paper.key, table.id)
    rows, code = sound_rows(existing_folders([Path(word) for word in args.words]))
    lines = lines_frame(rows)
    found = compare(papers, lines, only)
    print_grids(table_grids(found, resembling(found, lines)), args.style, lambda: records(found))
    return max(code, slips)
