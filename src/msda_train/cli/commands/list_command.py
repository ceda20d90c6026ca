"""`msda-table list [PAPER]`: which numbers there are, and how far they have been repeated."""

from pathlib import Path

from pandas import DataFrame

from msda_train.cli.files import existing_folders, sound_papers, sound_rows
from msda_train.cli.parser import Parser, add_published
from msda_train.comparison.compare import compare, find_paper
from msda_train.comparison.table import lines_frame
from msda_train.records.published import Paper
from msda_train.reporting.grid import Grid, draw


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
    found = compare(chosen, lines_frame(rows))
    counts = DataFrame(
        {
            "cells": 1,
            "runnable": found["not_runnable"].isna(),
            "run": found["rows"].map(bool),
            "compared": found["low"].notna(),
        }
    ).astype(int)
    grid = _papers(found, counts) if args.paper is None else _tables(found, counts)
    print(draw([grid], "text"), end="")
    return max(code, slips)


def _papers(found: DataFrame, counts: DataFrame) -> Grid:
    papers = found.groupby("paper", sort=False)
    shown = counts.groupby(found["paper"], sort=False).sum()
    shown.insert(0, "tables", papers["table"].nunique())
    shown.loc["all"] = shown.sum()
    said = [f"{paper.authors.split(',')[0]}, {paper.venue}" for paper in papers["in_paper"].first()]
    shown[""] = [*said, ""]
    facts = ["msda-table list PAPER: its tables; msda-table show PAPER/TABLE: one of them, beside our runs"]
    return Grid("published numbers", shown.reset_index().astype(str), facts, left=frozenset({0, -1}))


def _tables(found: DataFrame, counts: DataFrame) -> Grid:
    paper: Paper = found["in_paper"].iloc[0]
    shown = counts.groupby(found["table"], sort=False).sum()
    shown[""] = [f"{table.name}: {table.caption}" for table in paper.tables]
    shown.index = paper.key + "/" + shown.index
    facts = [f"{paper.authors}; {paper.venue}; {paper.url}", *([paper.note] if paper.note else [])]
    return Grid(paper.title, shown.reset_index().astype(str), facts, left=frozenset({0, -1}))
