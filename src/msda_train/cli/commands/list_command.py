"""`msda-table list [PAPER]`: which numbers there are, and how far they have been repeated."""

from collections.abc import Sequence
from pathlib import Path

from msda_train.cli.files import existing_folders, sound_papers, sound_rows
from msda_train.cli.parser import Parser, add_published
from msda_train.comparison.compare import TableView, compare, find_paper
from msda_train.reporting.grid import Grid, draw

_COMPARED = ("reproduced", "better", "worse", "inconclusive")
_COUNTS = ("cells", "runnable", "run", "compared")


def main(words: list[str]) -> int:
    """Print the tables of one paper, or a line per paper. Exit code 2 if there are bad rows."""
    parser = Parser(
        prog="msda-table list",
        description="Published tables: how many cells can be run, have a run of exactly their configuration, "
        "and have two seeds or more, hence a verdict.",
    )
    parser.add_argument("paper", nargs="?", metavar="PAPER", help="the tables of this paper, one by one")
    parser.add_argument("--rows", action="append", type=Path, default=[], metavar="FOLDER", help="repeatable")
    add_published(parser)
    args = parser.parse(words)
    papers, slips = sound_papers(args.published)
    chosen = papers if args.paper is None else [find_paper(papers, args.paper.rstrip("/"))]
    rows, code = sound_rows(existing_folders(args.rows))
    views = compare(chosen, rows)
    grid = _papers(views) if args.paper is None else _tables(views)
    print(draw([grid], "text"), end="")
    return max(code, slips)


def _papers(views: Sequence[TableView]) -> Grid:
    by_paper: dict[str, list[TableView]] = {}
    for view in views:
        by_paper.setdefault(view.paper.key, []).append(view)
    rows = [
        [key, str(len(some)), *_counts(some), f"{some[0].paper.authors.split(',')[0]}, {some[0].paper.venue}"]
        for key, some in by_paper.items()
    ]
    total = ["all", str(len(views)), *_counts(views), ""]
    head = ["paper", "tables", *_COUNTS, ""]
    facts = ["msda-table list PAPER: its tables; msda-table show PAPER/TABLE: one of them, beside our runs"]
    return Grid("published numbers", [head, *rows, total], facts, left=frozenset({0, 6}))


def _tables(views: Sequence[TableView]) -> Grid:
    paper = views[0].paper
    rows = [
        [f"{paper.key}/{view.table.id}", *_counts([view]), f"{view.table.name}: {view.table.caption}"]
        for view in views
    ]
    facts = [f"{paper.authors}; {paper.venue}; {paper.url}", *([paper.note] if paper.note else [])]
    return Grid(paper.title, [["table", *_COUNTS, ""], *rows], facts, left=frozenset({0, 5}))


def _counts(views: Sequence[TableView]) -> list[str]:
    cells = [cell for view in views for cell in view.cells]
    runnable = sum(cell.cell.not_runnable is None for cell in cells)
    run = sum(bool(cell.rows) for cell in cells)
    compared = sum(cell.verdict.word in _COMPARED for cell in cells)
    return [str(count) for count in (len(cells), runnable, run, compared)]
