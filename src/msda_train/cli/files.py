"""The files that words of a command line name: rows, runs, published papers; and what is wrong with them."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msda_train.cli.guard import log
from msda_train.core.errors import UserError
from msda_train.records.published import Paper, load_sound_papers
from msda_train.records.rows import Row, load_rows
from msda_train.reporting.grid import Grid, csv_text, draw

DEFAULT_FOLDERS = (Path("runs"), Path("results/rows"))


def sound_papers(folder: Path) -> tuple[list[Paper], int]:
    """The papers whose files can be used, bad ones named on stderr; and the exit code: 2 if there were bad
    ones. UserError if there are none at all."""
    papers, complaints = load_sound_papers(folder) if folder.is_dir() else ([], [])
    if not papers:
        raise UserError(complaints[0] if complaints else f"there are no published files in '{folder}'")
    return papers, log_complaints(complaints)


def existing_folders(given: Sequence[Path]) -> list[Path]:
    """`given`, or those of the default folders that exist; UserError for one that does not."""
    for folder in given:
        if not folder.exists():
            raise UserError(f"there is no folder '{folder}'")
    return list(given) or [folder for folder in DEFAULT_FOLDERS if folder.is_dir()]


def sound_rows(folders: Sequence[Path]) -> tuple[list[Row], int]:
    """The rows that can be used, bad ones named on stderr; and the exit code: 2 if there were bad ones."""
    rows, complaints = load_rows(folders)
    return rows, log_complaints(complaints)


def some_rows(given: Sequence[Path]) -> tuple[list[Row], int]:
    """`sound_rows` of the folders typed, or of the default ones; UserError where there is none."""
    folders = existing_folders(given)
    rows, code = sound_rows(folders)
    if not rows:
        raise no_rows(folders)
    return rows, code


def no_rows(folders: Sequence[Path]) -> UserError:
    """What to raise where there is not a single row."""
    places = " or ".join(map(str, folders or DEFAULT_FOLDERS))
    return UserError(f"no rows under {places}; type: msda-train method=erm")


def check_runs(places: Sequence[Path]) -> None:
    """UserError for a run, or a folder of runs, that is not there."""
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: there is no such run")


def no_finished_run(place: Path) -> UserError:
    """What to raise for a folder without a row.json."""
    return UserError(f"{place}: there is no finished run (no row.json)")


def log_complaints(complaints: Sequence[str]) -> int:
    """The exit code of msda-table where files are damaged: 2, with a line for each; else 0."""
    for complaint in complaints:
        log("msda-table", complaint)
    return 2 if complaints else 0


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """UserError, with the option that named `path`, where it cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror})") from None


def print_grids(
    grids: Sequence[Grid], style: str, records: Callable[[], Sequence[Mapping[str, object]]]
) -> None:
    """On stdout: the tables, or as `csv` their `records`, in which nothing is shortened."""
    text = csv_text(records()) if style == "csv" else draw(grids, style, colour=in_colour())
    print(text, end="")


def in_colour() -> bool:
    """Only a terminal gets colours, and only if it wants them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
