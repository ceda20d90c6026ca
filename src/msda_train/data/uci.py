"""Six tables of the UCI Machine Learning Repository, those of mixup's Table 4 (arXiv:1710.09412).

Each is read from UCI's own files. Copies of these differ in a line of headings and in line ends, so what
counts is not the bytes but the table that was read: its content hash. Rows that the repository keeps in a
training and a validation file (Arcene) are one table here; a run splits it.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.core.errors import UserError
from msda_train.data.download import Remote, fetch
from msda_train.data.examples import Arrays
from msda_train.data.table import TableSet, encode_classes, encode_columns, read_csv, whole_table

ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases"


def _remote(path: str, **facts: Any) -> Remote:
    """The file at this path of the repository, under its plain name."""
    return Remote(path.rpartition("/")[2].replace("%20", "_"), (f"{ADDRESS}/{path}",), **facts)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror or error})") from None


@dataclass(frozen=True)
class UciTable(TableSet):
    """A table of UCI; its facts are those of the subclass."""

    sources: ClassVar = ("download",)
    n_test: ClassVar = 0  # a run splits it

    def fetch_official(self, folder: Path) -> None:
        """See `Dataset`. A file that is there is taken: whether it is the table, its content says."""
        for remote in self.remotes:
            if not (folder / remote.filename).exists() and not self._unpacked(folder, remote):
                fetch(remote, folder, own_files=False)

    def read_official(self, folder: Path) -> Arrays:
        """See `Dataset`. Raises UserError where the files do not hold the official table."""
        arrays = self._decode(folder)
        found = (*arrays.x_train.shape, len(arrays.classes))
        wanted = (self.n_train, *(self.shape or ()), self.n_classes)
        if found != wanted:
            raise UserError(
                f"{folder}: holds {found[0]} rows of {found[1]} numbers and {found[2]} classes, the official "
                f"table {wanted[0]} of {wanted[1]} and {wanted[2]}; delete the files, then type it again"
            )
        return arrays

    def official_facts(self, folder: Path) -> list[Any]:
        """See `Dataset`: the files that are there, else those that will be."""
        paths = [folder / remote.filename for remote in self.remotes]
        return [[path.name, path.stat().st_size if path.is_file() else 0] for path in paths]

    def _unpacked(self, folder: Path, remote: Remote) -> bool:
        return False

    def _decode(self, folder: Path) -> Arrays:
        path = folder / self.remotes[0].filename
        return self._of_lines(path, _lines(path))

    def _of_lines(self, path: Path, lines: Sequence[str]) -> Arrays:
        """Values with commas between them, the class last; a line of headings may come first."""
        rows = [line.strip() for line in lines if line.strip()]
        rows = rows[1:] if rows and self._is_heading(rows[0]) else rows
        frame = read_csv(BytesIO("\n".join(rows).encode()), str(path), header=None)
        y, classes = encode_classes(frame[frame.columns[-1]], str(path))
        return whole_table(encode_columns(frame[frame.columns[:-1]], str(path)), y, classes)

    def _is_heading(self, line: str) -> bool:
        """Whether the second value of a line, which is a number in every row of these tables, is none."""
        try:
            float(line.split(",")[1].replace("?", "0"))
        except (IndexError, ValueError):
            return True
        return False


@dataclass(frozen=True)
class Abalone(UciTable):
    """4,177 abalones: sex (three columns of 0 and 1) and seven sizes; the class is the number of rings."""

    shape: ClassVar = (10,)
    n_classes: ClassVar = 28
    n_train: ClassVar = 4_177
    official_content: ClassVar = "bb6a845c0a4c3743cec548c9ae3afb2c"
    remotes: ClassVar = (_remote("abalone/abalone.data"),)


@dataclass(frozen=True)
class Arcene(UciTable):
    """200 mass spectra of 10,000 values, cancer or not: training and validation part; the labels of the test
    part were never published."""

    shape: ClassVar = (10_000,)
    n_classes: ClassVar = 2
    n_train: ClassVar = 200
    official_content: ClassVar = "d8f702b12497937d7945205d14e7f94a"
    remotes: ClassVar = (
        _remote("arcene/ARCENE/arcene_train.data"),
        _remote("arcene/ARCENE/arcene_train.labels"),
        _remote("arcene/ARCENE/arcene_valid.data"),
        _remote("arcene/arcene_valid.labels"),
    )

    def _decode(self, folder: Path) -> Arrays:
        parts = []
        for split in ("train", "valid"):
            try:
                x = np.loadtxt(folder / f"arcene_{split}.data", dtype=np.float32, ndmin=2)
                y = np.loadtxt(folder / f"arcene_{split}.labels", dtype=np.int64, ndmin=1)
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:150]
                raise UserError(
                    f"{folder}: no Arcene ({reason}); delete the files, then type it again"
                ) from None
            if len(x) != len(y) or not np.isin(y, (-1, 1)).all():
                raise UserError(f"{folder}: {len(x)} rows and {len(y)} labels of 1 or -1 in its {split} part")
            parts.append((x, y))
        x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
        return whole_table(x, (y > 0).astype(np.int64), ("-1", "1"))


@dataclass(frozen=True)
class Arrhythmia(UciTable):
    """452 electrocardiograms of 279 values, 408 of them missing; 13 of 16 classes occur."""

    shape: ClassVar = (279,)
    n_classes: ClassVar = 13
    n_train: ClassVar = 452
    official_content: ClassVar = "887a0c8e9a83398ad789283a608c47bc"
    remotes: ClassVar = (_remote("arrhythmia/arrhythmia.data"),)


@dataclass(frozen=True)
class Htru2(UciTable):
    """17,898 candidates for pulsars, eight numbers each; 1,639 are some."""

    shape: ClassVar = (8,)
    n_classes: ClassVar = 2
    n_train: ClassVar = 17_898
    official_content: ClassVar = "92ccd137ab25361a8b366e689797f0b0"
    remotes: ClassVar = (_remote("00372/HTRU2.zip"),)

    def _unpacked(self, folder: Path, remote: Remote) -> bool:
        return (folder / "HTRU_2.csv").is_file()

    def official_facts(self, folder: Path) -> list[Any]:
        """See `UciTable`."""
        path = folder / "HTRU_2.csv"
        return [[path.name, path.stat().st_size]] if path.is_file() else super().official_facts(folder)

    def _decode(self, folder: Path) -> Arrays:
        path = folder / "HTRU_2.csv"
        if path.is_file():
            return self._of_lines(path, _lines(path))
        try:
            with zipfile.ZipFile(folder / "HTRU2.zip") as archive:
                if archive.getinfo("HTRU_2.csv").file_size > 1 << 24:
                    raise KeyError("HTRU_2.csv is too large")
                text = archive.read("HTRU_2.csv")
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{folder / 'HTRU2.zip'}: not UCI's archive ({error}); delete it, type it again"
            ) from None
        return self._of_lines(path, text.decode("utf-8", "replace").splitlines())


@dataclass(frozen=True)
class Iris(UciTable):
    """150 flowers of three species, four lengths each (Fisher 1936), with UCI's two known slips."""

    shape: ClassVar = (4,)
    n_classes: ClassVar = 3
    n_train: ClassVar = 150
    official_content: ClassVar = "4f7e822359d26bb58856e1944f07ead0"
    remotes: ClassVar = (_remote("iris/iris.data"),)


@dataclass(frozen=True)
class Phishing(UciTable):
    """11,055 web sites, thirty signs of -1, 0 or 1 each; 1 is an honest one."""

    shape: ClassVar = (30,)
    n_classes: ClassVar = 2
    n_train: ClassVar = 11_055
    official_content: ClassVar = "6d161d180712ea9157de2d6c3c38d0e6"
    remotes: ClassVar = (_remote("00327/Training%20Dataset.arff"),)

    def _decode(self, folder: Path) -> Arrays:
        path = folder / self.remotes[0].filename
        lines = _lines(path)
        heads = [k for k, line in enumerate(lines) if line.strip().lower() == "@data"]
        if not heads:
            raise UserError(f"{path}: not UCI's ARFF file (no @data); delete it, then type the command again")
        return self._of_lines(path, lines[heads[0] + 1 :])
