"""The one argument parser, and the options that several commands share."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from msda_train import __version__
from msda_train.core.errors import UserError
from msda_train.core.paths import PUBLISHED
from msda_train.records.summary import CLASSIFICATION, TASKS
from msda_train.reporting.grid import STYLES


class Parser(argparse.ArgumentParser):
    """argparse as every command here speaks it: a mistake is a UserError of one line, options are typed in
    full and in any order, and all have `--version`.

    prog: the command, `msda-table show`; its first word stands before the version.
    """

    def __init__(self, prog: str, description: str | None = None, **more: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **more)
        version = f"{prog.split()[0]} {__version__}"
        self.add_argument("--version", action="version", version=version, help="print the version and exit")

    def error(self, message: str) -> NoReturn:
        """UserError: what is wrong, and where the help is."""
        raise UserError(f"{message}; type: {self.prog} --help")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options that `words` set. UserError for a mistake, SystemExit after --help and --version."""
        return self.parse_intermixed_args(list(words))


def add_styles(parser: Parser) -> None:
    """--markdown, --latex, --csv, --html as `style`; text otherwise."""
    style = parser.add_mutually_exclusive_group()
    for name in STYLES[1:]:
        style.add_argument(f"--{name}", dest="style", action="store_const", const=name, default="text")


def add_published(parser: Parser) -> None:
    """--published FOLDER."""
    parser.add_argument(
        "--published",
        type=Path,
        default=PUBLISHED,
        metavar="FOLDER",
        help="other published files than the shipped ones: a table of your own",
    )


def add_folders(parser: Parser) -> None:
    """FOLDER..., where rows are, as `folders`."""
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="of rows; default: runs and results/rows"
    )


def add_metric(parser: Parser, tasks: Iterable[str] = (CLASSIFICATION,)) -> None:
    """--metric NAME, of one of `tasks`."""
    known = [metric for task in tasks for metric in TASKS[task]]
    parser.add_argument("--metric", choices=known, default="error", help="default: error")


def add_stored_run(parser: Parser) -> None:
    """--device and --trust, for whoever builds the network of a finished run again."""
    parser.add_argument(
        "--device", metavar="WORD", help="cpu, cuda, cuda:1; default: as the run, if possible"
    )
    parser.add_argument(
        "--trust", action="store_true", help="build classes that the row names and msda-train does not have"
    )
