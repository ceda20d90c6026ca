"""`msda-table report`: everything there is to see, as one HTML file."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from msda_train.cli.parser import Parser, add_published, existing_folders, sound_papers
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.records.external_results import DEFAULT_FOLDER, load_foreign
from msda_train.records.rows import load_rows
from msda_train.reporting.book import open_book
from msda_train.reporting.origin import origin
from msda_train.reporting.page import html


def main(words: list[str]) -> int:
    """Exit code 0, or 2 where a row was bad; the others are in the report all the same."""
    parser = Parser(prog="msda-table report", description="Write tables, plots and runs into one HTML file.")
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="default: runs and results/rows"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html"
    )
    add_published(parser)
    args = parser.parse_args(words)
    papers, slips = sound_papers(args.published)
    rows, complaints = load_rows(existing_folders(args.folders))
    foreign, more = load_foreign(DEFAULT_FOLDER)
    complaints += more
    for complaint in complaints:
        print(f"msda-table: {complaint}", file=sys.stderr)
    book = open_book(
        papers, rows, foreign=foreign, complaints=complaints, made=datetime.now(UTC), origin=origin()
    )
    _write(args.out, html(book).encode("utf-8"))
    return 2 if complaints else slips


def _write(path: Path, page: bytes) -> None:
    try:
        replace_file(path, page)
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from None
    print(f"{path}: {len(page) / 1e6:.2f} MB")
