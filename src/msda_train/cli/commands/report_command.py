"""`msda-table report`: everything there is to see, as one HTML file."""

from datetime import UTC, datetime
from pathlib import Path

from msda_train.cli.files import existing_folders, log_complaints, sound_papers, writing
from msda_train.cli.parser import Parser, add_folders, add_published
from msda_train.core.files import replace_file
from msda_train.records.external_results import DEFAULT_FOLDER, load_foreign
from msda_train.records.rows import load_rows
from msda_train.reporting.origin import origin
from msda_train.reporting.page import html
from msda_train.reporting.report import make_report


def main(words: list[str]) -> int:
    """Exit code 0, or 2 where a row was bad; the others are in the report all the same."""
    parser = Parser(prog="msda-table report", description="Write tables, plots and runs into one HTML file.")
    add_folders(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html"
    )
    add_published(parser)
    args = parser.parse(words)
    papers, slips = sound_papers(args.published)
    rows, complaints = load_rows(existing_folders(args.folders))
    external, more = load_foreign(DEFAULT_FOLDER)
    complaints += more
    code = log_complaints(complaints)
    report = make_report(
        papers, rows, external=external, complaints=complaints, made=datetime.now(UTC), origin=origin()
    )
    page = html(report).encode("utf-8")
    with writing("--out", args.out):
        replace_file(args.out, page)
    print(f"{args.out}: {len(page) / 1e6:.2f} MB")
    return max(code, slips)
