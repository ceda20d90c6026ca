"""`msda-table`: the table of all finished runs. Imports no torch and answers in about a second."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from msda_train.cli import commands
from msda_train.cli.files import existing_folders, no_rows
from msda_train.cli.guard import run_guarded
from msda_train.cli.parser import Parser, add_folders, add_metric, add_styles
from msda_train.core.errors import UserError
from msda_train.records.summary import TASKS
from msda_train.reporting.print_table import print_table

# The first word of a command line may name one of these, each a module of `commands` with `main(words)`,
# which returns the exit code and raises UserError. Any other command line is the table of rows.
COMMANDS = tuple(
    each.name.removesuffix("_command")
    for each in iter_modules(commands.__path__)
    if each.name.endswith("_command")
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-table`: 0 well, 2 bad input, 130 interrupted; a command may have others."""
    return run_guarded("msda-table", _run, "stopped", argv)


def _run(words: list[str]) -> int:
    if not words or words[0] not in COMMANDS:
        return _table(words)
    code: int = import_module(f"msda_train.cli.commands.{words[0]}_command").main(words[1:])
    return code


def _table(words: list[str]) -> int:
    parser = Parser(
        prog="msda-table",
        description="Print the table of finished runs beside the published numbers. Other commands: "
        + ", ".join(COMMANDS)
        + "; msda-table COMMAND --help.",
        epilog="Exit code 2 if something given is wrong, bad rows included; good rows are still printed.",
    )
    add_folders(parser)
    add_metric(parser, TASKS)
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    parser.add_argument(
        "--columns", action="append", default=[], metavar="PROBE/NAME", help="numbers of probes; repeatable"
    )
    add_styles(parser)
    args = parser.parse(words)
    if args.folders and not args.folders[0].exists() and (meant := get_close_matches(words[0], COMMANDS, 1)):
        raise UserError(f"there is no folder '{words[0]}'; did you mean msda-table {meant[0]}?")
    folders = existing_folders(args.folders)
    if not folders:
        raise no_rows(folders)
    methods = [name for names in args.method for name in names.split(",")]
    columns = [name for names in args.columns for name in names.split(",")]
    return print_table(folders, style=args.style, metric=args.metric, methods=methods, columns=columns)


if __name__ == "__main__":
    sys.exit(main())
