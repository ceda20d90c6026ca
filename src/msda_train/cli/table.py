"""`msda-table`: the table of all finished runs. Imports no torch and answers in about a second."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from msda_train.cli.guard import answered
from msda_train.cli.parser import DEFAULT_FOLDERS, Parser, add_styles, existing_folders
from msda_train.core.errors import UserError
from msda_train.records.summary import METRICS
from msda_train.reporting.printed import print_table

# The first word of a command line may name one of these, each a module of `commands` with `main(words)`,
# which returns the exit code and raises UserError. Any other command line is the table of rows.
COMMANDS = ("list", "show", "plan", "run", "report", "import", "why", "verify", "bias", "methods")


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """The exit code of `msda-table WORDS`."""
    name = words[0] if words and words[0] in COMMANDS else None
    return answered("msda-table", lambda: _command(name)(words[bool(name) :]), "stopped", words)


def _command(name: str | None) -> Callable[[list[str]], int]:
    if name is None:
        return _table
    made: Callable[[list[str]], int] = import_module(f"msda_train.cli.commands.{name}_command").main
    return made


def _table(words: list[str]) -> int:
    parser = Parser(
        prog="msda-table",
        description="Print the table of finished runs beside the published numbers. Other commands: "
        + ", ".join(COMMANDS)
        + "; msda-table COMMAND --help.",
        epilog="Exit code 2 if something given is wrong, bad rows included; good rows are still printed.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="default: runs and results/rows"
    )
    parser.add_argument("--metric", choices=METRICS, default="error", help="default: error")
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    parser.add_argument(
        "--columns", action="append", default=[], metavar="PROBE/NAME", help="numbers of probes; repeatable"
    )
    add_styles(parser)
    args = parser.parse_args(words)
    if args.folders and not args.folders[0].exists() and (meant := get_close_matches(words[0], COMMANDS, 1)):
        raise UserError(f"there is no folder '{words[0]}'; did you mean msda-table {meant[0]}?")
    folders = existing_folders(args.folders)
    if not folders:
        raise UserError(
            f"no rows under {' or '.join(map(str, DEFAULT_FOLDERS))}; type: msda-train method=erm"
        )
    methods = [name for names in args.method for name in names.split(",")]
    columns = [name for names in args.columns for name in names.split(",")]
    return print_table(folders, style=args.style, metric=args.metric, methods=methods, columns=columns)


if __name__ == "__main__":
    main()
