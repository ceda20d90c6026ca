"""`msda-table why CELL`: from the printed number to the runs that repeat it, and the machines they ran on."""

from textwrap import wrap

from msda_train.cli.files import existing_folders, sound_papers, sound_rows
from msda_train.cli.parser import Parser, add_folders, add_published
from msda_train.comparison.provenance import chain, find_cell
from msda_train.records.rows import one_line


def main(words: list[str]) -> int:
    """Print the chain of one cell. Exit code 2 if there are bad rows."""
    parser = Parser(
        prog="msda-table why",
        description="Published source, overrides, fingerprint, runs and environment behind one cell.",
    )
    parser.add_argument(
        "cell", metavar="PAPER/TABLE/CELL", help="as numbered by: msda-table show PAPER/TABLE"
    )
    add_folders(parser)
    add_published(parser)
    args = parser.parse(words)
    papers, slips = sound_papers(args.published)
    place = find_cell(papers, args.cell)
    rows, code = sound_rows(existing_folders(args.folders))
    found = chain(*place, rows)
    print(found.id)
    for name, lines in found.links:
        for index, line in enumerate(lines):
            print(_wrapped(f"  {name if index == 0 else '':<13}", line))
    return max(code, slips)


def _wrapped(head: str, line: str) -> str:
    """Paths stay whole, so that they can be copied."""
    wrapped = wrap(
        one_line(line),
        118,
        initial_indent=head,
        subsequent_indent=" " * (len(head) + 2),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(wrapped)
