"""`msda-table`: the table of all finished runs. Imports no torch and answers in about a second."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from msda_train.errors import UserError
from msda_train.results.printed import print_table
from msda_train.results.render import STYLES
from msda_train.results.rows import one_line
from msda_train.results.summary import METRICS

DEFAULT_FOLDERS = (Path("runs"), Path("results/rows"))

# The first word of a command line may name one of these, each a module of `commands` with `main(words)`, which
# returns the exit code and raises UserError. Any other command line is the table of rows.
COMMANDS: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; type: {self.prog} --help")


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """The exit code of `msda-table WORDS`."""
    # A terminal that cannot show ± gets a question mark, not a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    name = words[0] if words and words[0] in COMMANDS else None
    try:
        code = import_module(f"msda_train.commands.{name}_command").main(words[1:]) if name else _table(words)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"msda-table: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `msda-table | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _table(words: list[str]) -> int:
    parser = _Parser(
        prog="msda-table",
        description="Print the table of finished runs beside the published numbers.",
        epilog="Exit code 2 if something given is wrong, bad rows included; good rows are still printed.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="default: runs and results/rows"
    )
    parser.add_argument("--metric", choices=METRICS, default="error", help="default: error")
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only these; repeatable"
    )
    style = parser.add_mutually_exclusive_group()
    for name in STYLES[1:]:
        style.add_argument(f"--{name}", dest="style", action="store_const", const=name, default="text")
    args = parser.parse_args(words)
    for folder in args.folders:
        if not folder.exists():
            raise UserError(f"there is no folder '{folder}'")
    folders = args.folders or [folder for folder in DEFAULT_FOLDERS if folder.is_dir()]
    if not folders:
        raise UserError(
            f"no rows under {' or '.join(map(str, DEFAULT_FOLDERS))}; type: msda-train method=erm"
        )
    methods = [name for names in args.method for name in names.split(",")]
    return print_table(folders, style=args.style, metric=args.metric, methods=methods)


if __name__ == "__main__":
    main()
