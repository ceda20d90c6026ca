"""`msda-table import FILE method=cutmix ...`: rows of other programs, kept apart and marked as foreign."""

from pathlib import Path

from msda_train.cli.files import log_complaints
from msda_train.cli.parser import Parser
from msda_train.core.errors import UserError, nearest
from msda_train.records.external_formats import FORMATS
from msda_train.records.external_results import (
    DEFAULT_FOLDER,
    WORDS,
    foreign_table,
    import_file,
    load_foreign,
)

KNOWN = (*WORDS, "seed")


def main(words: list[str]) -> int:
    """Exit code 0; 2 where a file in the folder of foreign rows is damaged. UserError for a bad FILE."""
    formats = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
    parser = Parser(
        prog="msda-table import",
        description="Keep results of other programs as foreign rows: marked, in no mean or verdict of ours.",
        epilog=f"Formats, recognised by what is in the file: {formats}. What a log does not say is typed: "
        f"{', '.join(f'{word}=NAME' for word in WORDS)}, seed=N. Fractions, not percent, in a csv.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="dataset=cifar100 model=NAME method=cutmix seed=0"
    )
    parser.add_argument(
        "--to", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="default: results/foreign"
    )
    parser.add_argument("--list", action="store_true", help="print the foreign rows there are")
    args = parser.parse(words)
    if args.list:
        if args.file:
            raise UserError(f"{args.file}: nothing is imported with --list; type one of them")
        return _list(args.to)
    if not args.file:
        raise UserError("which file? type: msda-table import FILE dataset=NAME model=NAME method=NAME")
    for path in import_file(Path(args.file), _names(args.words), args.to):
        print(path)
    return 0


def _names(words: list[str]) -> dict[str, str]:
    """What the log does not hold and is typed instead, option to value."""
    names = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not value:
            raise UserError(f"{word}: cannot be read; type OPTION=VALUE")
        if key not in KNOWN:
            raise UserError(f"{word}: no such option; {nearest(key, KNOWN)}")
        names[key] = value
    return names


def _list(folder: Path) -> int:
    rows, complaints = load_foreign(folder)
    code = log_complaints(complaints)
    if not rows and not complaints:
        raise UserError(f"no foreign rows in {folder}; type: msda-table import FILE")
    if rows:
        print(foreign_table(rows), end="")
    return code
