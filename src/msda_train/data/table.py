"""Rows of a table: any CSV file with a column of classes, split into training and test rows.

A column is numbers if all its values are; words, each of which becomes a column of 0 and 1 (one-hot), if none
is a number. A missing number becomes the median of its column, a missing word a word of its own. Classes are
numbered in the order of their numbers, else of the alphabet.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError, nearest
from msda_train.core.randomness import generator
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Arrays, Examples, check_classes
from msda_train.data.options import check_share
from msda_train.data.subset import split

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MISSING = ("", "?", "NA", "NaN", "nan", "N/A", "null", "NULL")
MOST_WORDS = 200  # different ones in a column; more are names, not categories


@dataclass(frozen=True, eq=False)
class Table(Examples):
    """Rows of numbers, x float32 (N, F)."""

    noun: ClassVar = "rows"


@dataclass(frozen=True)
class TableSet(Dataset):
    """A table in one CSV file, `root`; `target` names its column of classes, `leave_out` columns that nobody
    shall learn from. `test_share` of the rows are for testing: drawn at random, or the same share of each
    class (`stratified`), by `split_seed`; null: by the run's seed, each seed another split."""

    target: str | None = None
    leave_out: tuple[str, ...] = ()
    test_share: float = 0.5
    split_seed: int | None = None
    stratified: bool = False

    kind: ClassVar = Table
    sources: ClassVar[tuple[str, ...]] = ("csv",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "leave_out", tuple(self.leave_out))

    @property
    def example(self) -> str:
        """See `Dataset`."""
        return "dataset.root=FILE.csv dataset.target=COLUMN"

    def command(self, verb: str) -> str:
        """See `Dataset`."""
        target = [] if self.target is None else [f"dataset.target={self.target}"]
        left_out = [f"dataset.leave_out={json.dumps(self.leave_out)}"] if self.leave_out else []
        return " ".join([super().command(verb), *map(shlex.quote, [*target, *left_out])])

    def split_of(self, seed: int) -> int | None:
        """See `Dataset`."""
        return seed if self.split_seed is None else None

    def select(self, whole: Examples, seed: int = 0) -> Examples:
        """See `Dataset`; the split comes first."""
        rng = generator(seed if self.split_seed is None else self.split_seed, "split")
        x, y = whole.x_train, whole.y_train
        test = split(y, self.test_share, rng, stratified=self.stratified)
        train = np.setdiff1d(np.arange(len(y)), test)
        whole = replace(whole, x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])
        if not self.empty_classes:
            check_classes(f"dataset {self.name}", whole)
        return super().select(whole, seed)

    def _check(self) -> None:
        super()._check()
        check_share(self.test_share)
        if self.split_seed is not None:
            checks.whole("dataset.split_seed", self.split_seed, least=0)
        checks.flag("dataset.stratified", self.stratified)

    def _check_whole(self, arrays: Arrays) -> None:
        """Which classes have rows to train and test on is known after the split."""

    def _local_facts(self, path: Path) -> list[Any]:
        if not path.is_file():
            raise UserError(f"dataset.root={path}: no such file; give a CSV file, and dataset.target=COLUMN")
        facts = path.stat()
        return [path.name, facts.st_size, facts.st_mtime_ns, self.target, list(self.leave_out)]

    def _read(self) -> Arrays:
        if self.source != "csv":
            return super()._read()
        (path,) = self.files()
        if self.target is None:
            raise UserError("dataset.target is null; type dataset.target=COLUMN, the column of classes")
        where = f"dataset.root={path}"
        frame = with_headings(read_csv(path, where, header=None), where)
        if self.target in self.leave_out:
            raise UserError(f"dataset.leave_out={self.target}: is the target; leave it out there")
        for option, columns in (("target", (self.target,)), ("leave_out", self.leave_out)):
            for column in columns:
                if column not in frame:
                    words = nearest(column, map(str, frame.columns))
                    raise UserError(f"dataset.{option}={column}: no column of {path}; {words}")
        labels, classes = encode_classes(frame[self.target], where)
        numbers = encode_columns(frame.drop(columns=[self.target, *self.leave_out]), where)
        return whole_table(numbers, labels, classes)


def read_csv(path: "Path | BytesIO", where: str, **options: Any) -> "DataFrame":
    """The file as words, MISSING ones as NaN; `options` of pandas.read_csv. UserError begins with `where`."""
    import pandas as pd

    try:
        words: dict[str, Any] = {
            "keep_default_na": False,
            "na_values": list(MISSING),
            "skipinitialspace": True,
        }
        return pd.read_csv(path, dtype=str, **(words | options))
    except (ValueError, UnicodeDecodeError, OSError) as error:  # pandas' parser errors are ValueErrors
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{where}: cannot be read as CSV ({reason}); give one line per row") from None


def with_headings(frame: "DataFrame", where: str) -> "DataFrame":
    """`frame`, whose first row names the columns. UserError where these names are not clear: two of one name,
    a column without one, or headings alone."""
    names = frame.iloc[0].astype(object).where(frame.iloc[0].notna(), None).tolist()
    if None in names:
        raise UserError(
            f"{where}: column {names.index(None) + 1} of {len(names)} has no name; give it one, or take a "
            f"comma away"
        )
    names = [name.strip() for name in names]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{where}: two columns are called '{twice[0]}'; give each a name of its own")
    if len(frame) == 1:
        raise UserError(f"{where}: headings only; give one line per row below them")
    return frame.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def encode_classes(target: "Series[str]", where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N,) int64 labels and the names of the classes. UserError where there are none to learn."""
    import pandas as pd

    if target.isna().any():
        row = int(target.isna().to_numpy().argmax()) + 1
        raise UserError(f"{where}: row {row} has no class in column '{target.name}'; leave that row out")
    words = target.str.strip()
    numbers = pd.to_numeric(words, errors="coerce")
    if numbers.notna().all():  # 1, 1.0 and 01 are one class
        words = numbers.map(lambda number: f"{number:g}" if number % 1 else f"{number:.0f}")
    kinds = (
        sorted(set(words), key=lambda word: (float(word), word))
        if numbers.notna().all()
        else sorted(set(words))
    )
    if len(kinds) < 2:
        raise UserError(f"{where}: column '{target.name}' holds one class only ({kinds[0]}); two are needed")
    if len(kinds) > len(words) / 2:
        raise UserError(
            f"{where}: column '{target.name}' has {len(kinds)} classes in {len(words)} rows; "
            f"if these are numbers to predict, make classes of them first"
        )
    place = {word: label for label, word in enumerate(kinds)}
    return words.map(place).to_numpy(np.int64), tuple(kinds)


def encode_columns(frame: "DataFrame", where: str) -> np.ndarray:
    """(N, F) float32, as the head of this file says. UserError names the column that cannot be used."""
    import pandas as pd

    parts: list[np.ndarray] = []
    for name in frame:
        words = frame[name]
        numbers = pd.to_numeric(words, errors="coerce")
        good, there = numbers.notna(), words.notna()
        if not there.any():
            raise UserError(f"{where}: column '{name}' is empty; type {_leave_out(name)}")
        if good.any():
            if (wrong := there & ~good).any():
                row, text = int(wrong.to_numpy().argmax()) + 1, str(words[wrong].iloc[0])[:40]
                raise UserError(
                    f"{where}: column '{name}' holds numbers, and in row {row} the text {text!r}; mend it, "
                    f"or type {_leave_out(name)}"
                )
            values = numbers.fillna(numbers.median()).to_numpy(np.float64)
            if not (np.abs(values) < 1e30).all():
                raise UserError(
                    f"{where}: column '{name}' holds a number that float32 cannot work with (inf?)"
                )
            parts.append(values[:, None])
            continue
        if words.str.fullmatch(r"\s*[-+]?\d+,\d+\s*").any():
            raise UserError(f"{where}: column '{name}' has commas in its numbers; write a point, as in 0.5")
        kinds = sorted(set(words.dropna().str.strip())) + (["?"] if not there.all() else [])
        if len(kinds) > MOST_WORDS:
            raise UserError(
                f"{where}: column '{name}' has {len(kinds)} different words; type {_leave_out(name)}"
            )
        held = words.str.strip().fillna("?").to_numpy()
        parts.append(np.stack([held == kind for kind in kinds], axis=1).astype(np.float64))
    if not parts:
        raise UserError(f"{where}: no column is left to learn from")
    return np.concatenate(parts, axis=1).astype(np.float32) + np.float32(0)  # no -0: it has other bytes


def _leave_out(name: object) -> str:
    """As it is typed in a shell."""
    return shlex.quote(f'dataset.leave_out=["{name}"]')


def whole_table(x: np.ndarray, y: np.ndarray, classes: Sequence[str]) -> Arrays:
    """All rows as training rows, as a table is kept until a run splits it."""
    return Arrays(x, y, x[:0], y[:0], tuple(classes))
