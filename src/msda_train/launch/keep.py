"""Copies of finished rows in another folder, the moment they are there: of a machine that vanishes, they
stay."""

from pathlib import Path

from msda_train.core.errors import UserError
from msda_train.core.files import replace_file, writing
from msda_train.records.rows import Row, kept_name, one_line, read_row, same_run


def keep(row: Row, folder: Path) -> Path | None:
    """Copies the row's file below `folder`, whole or not at all, and returns where; None where it is kept
    already. One that says more than the copy, after probes, takes its place. Raises UserError where a row
    that says something else is there, and NotWritten."""
    target = folder / kept_name(row)
    if target.exists():
        there = read_row(target)
        if there.key != row.key or not same_run(there, row):
            raise UserError(f"{row.path}: {target} is kept and differs; move one of them away")
        if there.metrics.keys() >= row.metrics.keys():
            return None
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, row.path.read_bytes())
    return target


class Keeper:
    """Keeps rows in `folder`; what could not be kept is tried again with the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left: dict[Path, str] = {}  # and why

    def check(self) -> None:
        """UserError where nothing could be written there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / ".msda-train"
            replace_file(probe, b"")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"--keep {self._folder}: cannot be written ({error.strerror}); type --keep FOLDER"
            ) from None

    def add(self, row: Row) -> str | None:
        """Keeps it, and whatever is left from before; a line about what could not be kept, else None."""
        self._left.setdefault(row.path, "")
        return self.again()

    def again(self) -> str | None:
        """Keeps what is left from before."""
        for path in list(self._left):
            try:
                keep(read_row(path), self._folder)
                del self._left[path]
            except (UserError, OSError) as error:
                self._left[path] = one_line(error)
        return "; ".join(self._left.values()) or None
