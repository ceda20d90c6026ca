"""Files that any program reads: `history.csv` in every run's folder, and `logger=csv`."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from msda_train.core.files import replace_file
from msda_train.core.paths import typed_path
from msda_train.training.logger import About, Epoch, Picture

HISTORY = "history.csv"


@dataclass
class History:
    """A line for each epoch, added when it ends; written anew when a run begins or goes on, so no epoch
    stands there twice."""

    folder: Path
    _columns: list[str] = field(default_factory=list, init=False)

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        self._columns = []
        (self.folder / HISTORY).unlink(missing_ok=True)
        if done:
            replace_file(self.folder / HISTORY, "".join(map(self._lines, done)).encode())

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`."""
        with (self.folder / HISTORY).open("a", encoding="utf-8", newline="") as file:
            file.write(self._lines(numbers))

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """Nothing: the row lies beside it."""

    def close(self) -> None:
        """Nothing: the file is closed after each line."""

    def _lines(self, numbers: Epoch) -> str:
        """The epoch's; before the first one the names of its numbers."""
        head = ""
        if not self._columns:
            self._columns = list(numbers)
            head = _csv_line(self._columns)
        return head + _csv_line([_short(numbers.get(column, "")) for column in self._columns])


@dataclass
class Csv:
    """logger=csv: of every run a folder below `folder` with history.csv, row.csv (a line for each number and
    option of the finished run) and the example pictures."""

    folder: str = "csv"

    def __post_init__(self) -> None:
        self._history = History(Path())

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        self._about = about
        self._history = History(typed_path("logger.folder", self.folder) / about.name)
        self._history.folder.mkdir(parents=True, exist_ok=True)
        self._history.begin(about, done)

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`."""
        self._history.epoch(numbers)

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """See `Logger`."""
        folder = self._history.folder
        facts = {**row["metrics"], "seconds": row["seconds"], "images_per_second": row["images_per_second"]}
        lines = [("name", "value"), *facts.items(), *self._about.options.items()]
        replace_file(folder / "row.csv", "".join(map(_csv_line, lines)).encode())
        labels = [("file", "label")]
        for number, picture in enumerate(pictures):
            labels.append((f"mixed_{number}.png", picture.label))
            replace_file(folder / labels[-1][0], picture.png)
        if pictures:
            replace_file(folder / "mixed.csv", "".join(map(_csv_line, labels)).encode())

    def close(self) -> None:
        """See `Logger`."""


def _csv_line(values: Sequence[Any]) -> str:
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _short(value: Any) -> Any:
    """Digits enough to read; the row has them all."""
    return f"{value:.6g}" if isinstance(value, float) else value
