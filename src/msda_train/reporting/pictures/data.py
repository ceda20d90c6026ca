"""What the probes of runs left, for plots: numbers in the rows, arrays beside them, read with suspicion.

A run folder may come from anywhere. An array that is not what a probe writes (objects, no numbers, too many,
not finite) is as if it were not there, as is a file that cannot be read.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from msda_train.records.probe_records import columns_of, probe_records
from msda_train.records.rows import Row
from msda_train.reporting.draw import Look, looks

LARGEST_ARRAY = 2_000_000  # bytes, unpacked; a small file can claim to hold much
MOST_ARRAYS = 200
LARGEST_NUMBER = 1e12  # what is larger is no measurement, and a plot of it would overflow
# What reading a zip file ends with that is cut off, encrypted, packed in a way unknown here, or no zip file.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)

Arrays = Mapping[str, np.ndarray]
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Probed:
    """One method config over its seeds."""

    label: str
    look: Look
    rows: tuple[Row, ...]

    def arrays(self, probe: str) -> list[Arrays]:
        """Of each seed that has any: name to float64."""
        return [found for row in self.rows if (found := read_arrays(row.path, probe))]

    def records(self, probe: str) -> list[Records]:
        """Of each seed: the probe's numbers as records."""
        return [records_of(row, probe) for row in self.rows]


def probed(block: DataFrame) -> list[Probed]:
    """The lines of a block of `lines_frame`; their looks are those of the block's other plots, too."""
    found = zip(block["method"], looks(block["method_name"]), block["rows"], strict=True)
    return [Probed(*each) for each in found]


def records_of(row: Row, probe: str) -> Records:
    """The numbers of one probe in one row, see `probe_records`."""
    return [
        each for each in probe_records(row) if each["probe"] == probe and abs(each["value"]) < LARGEST_NUMBER
    ]


def arrays_path(row_path: Path, probe: str) -> Path:
    """Where the arrays of a run's probe lie."""
    return row_path.parent / "probes" / f"{probe}.npz"


def read_arrays(row_path: Path, probe: str) -> dict[str, np.ndarray]:
    """The sound arrays of a probe of the run of a row, float64; none where there are none."""
    if row_path.name != "row.json":  # kept rows share a folder
        return {}
    try:
        with zipfile.ZipFile(arrays_path(row_path, probe)) as file:
            members = [item for item in file.infolist()[:MOST_ARRAYS] if item.file_size <= LARGEST_ARRAY]
            made = {item.filename.removesuffix(".npy"): _array(file.read(item)) for item in members}
    except _UNREADABLE:
        return {}
    return {name: array for name, array in made.items() if array is not None}


def _array(raw: bytes) -> np.ndarray | None:
    try:
        array = np.load(io.BytesIO(raw), allow_pickle=False)
    except Exception:  # headers fail in the tokenizer, in the parser or in numpy, each in its own way
        return None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.size == 0:
        return None
    values: np.ndarray = array.astype(np.float64)
    return values if np.abs(values).max() < LARGEST_NUMBER else None  # false for nan, too


def vectors(arrays: Arrays, *names: str) -> list[list[float]] | None:
    """The one-dimensional arrays of these names, all of one length; None where that is not so."""
    found = [arrays.get(name) for name in names]
    if any(array is None or array.ndim != 1 for array in found):
        return None
    lists = [array.tolist() for array in found if array is not None]
    return lists if len({len(each) for each in lists}) == 1 else None


def described(probe: str, arrays: Arrays, measure: str) -> dict[str, dict[str, Any]]:
    """Name to the columns of its setting, of the arrays that hold `measure`."""
    found = {name: columns_of(probe, name) for name in arrays}
    return {name: each for name, each in found.items() if each and each["measure"] == measure}
