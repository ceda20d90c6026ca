"""argparse as this project speaks: complaints of one line, and the words that several subcommands share."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msda_train.core.errors import UserError
from msda_train.core.paths import PUBLISHED
from msda_train.records.published import Paper, load_sound_papers
from msda_train.records.rows import Row, load_rows
from msda_train.reporting.grid import STYLES

DEFAULT_FOLDERS = (Path("runs"), Path("results/rows"))


class Parser(argparse.ArgumentParser):
    """argparse that raises UserError instead of printing a page."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; type: {self.prog} --help")


def add_styles(parser: argparse.ArgumentParser) -> None:
    """--markdown, --latex, --csv, --html as `style`; text otherwise."""
    style = parser.add_mutually_exclusive_group()
    for name in STYLES[1:]:
        style.add_argument(f"--{name}", dest="style", action="store_const", const=name, default="text")


def add_published(parser: argparse.ArgumentParser) -> None:
    """--published FOLDER."""
    parser.add_argument(
        "--published",
        type=Path,
        default=PUBLISHED,
        metavar="FOLDER",
        help="other published files than the shipped ones: a table of your own",
    )


def sound_papers(folder: Path) -> tuple[list[Paper], int]:
    """The papers whose files can be used, bad ones named on stderr; and the exit code: 2 if there were bad
    ones. UserError if there are none at all."""
    papers, complaints = load_sound_papers(folder) if folder.is_dir() else ([], [])
    if not papers:
        raise UserError(complaints[0] if complaints else f"there are no published files in '{folder}'")
    return papers, _complain(complaints)


def existing_folders(given: Sequence[Path]) -> list[Path]:
    """`given`, or those of the default folders that exist; UserError for one that does not."""
    for folder in given:
        if not folder.exists():
            raise UserError(f"there is no folder '{folder}'")
    return list(given) or [folder for folder in DEFAULT_FOLDERS if folder.is_dir()]


def sound_rows(folders: Sequence[Path]) -> tuple[list[Row], int]:
    """The rows that can be used, bad ones named on stderr; and the exit code: 2 if there were bad ones."""
    rows, complaints = load_rows(folders)
    return rows, _complain(complaints)


def _complain(complaints: Sequence[str]) -> int:
    for complaint in complaints:
        print(f"msda-table: {complaint}", file=sys.stderr)
    return 2 if complaints else 0


def in_colour() -> bool:
    """Only a terminal gets colours, and only if it wants them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
