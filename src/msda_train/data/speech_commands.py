"""Speech Commands v0.01 (Warden, 2017; arXiv:1804.03209 describes it): one second of one of 30 spoken words.

Read straight from the official archive, or from a folder where somebody unpacked it. A file WORD/NAME.wav is
a training example unless one of the two official lists names it, which make the validation and the test set.
What begins with an underscore or a dot (`_background_noise_`) is no word. Spectrograms are kept as float16,
half of what float32 would take (2.1 GB): a value is off by one part in 2048 at most, and as all is computed
in float64, machines that add up in another order round to the same bits.
"""

import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.data.dataset import Dataset
from msda_train.data.download import Remote
from msda_train.data.examples import Arrays, Examples
from msda_train.data.imagefolder import scan, tell_left_out
from msda_train.data.spectrogram import BINS, FRAMES, log_spectrogram, read_wav

TOP = "speech_commands_v0.01"
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_AGAIN = "delete it and type the command again to download it anew"


@dataclass(frozen=True, eq=False)
class Spectrograms(Examples):
    """Spoken words, x float16 (N, 1, BINS, FRAMES), each of mean 0 and deviation 1."""

    noun: ClassVar = "spectrograms"


@dataclass(frozen=True)
class SpeechCommands(Dataset):
    """51,088 / 6,798 / 6,835 spectrograms to train, validate and test on; classes in the alphabet's order."""

    kind: ClassVar = Spectrograms
    shape: ClassVar = (1, BINS, FRAMES)
    n_classes: ClassVar = 30
    n_train: ClassVar = 51_088
    n_validation: ClassVar = 6_798
    n_test: ClassVar = 6_835
    sources: ClassVar = ("download",)
    remotes: ClassVar = (
        Remote(
            f"{TOP}.tar.gz",
            urls=(
                f"http://download.tensorflow.org/data/{TOP}.tar.gz",
                f"https://storage.googleapis.com/download.tensorflow.org/data/{TOP}.tar.gz",
            ),
            # As in torchaudio's datasets/speechcommands.py; before 2021 the MD5 there was
            # 3cd23799cb2bbdec517f1cc028f8d43c. The size is what the server said to others.
            sha256="743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
            size=1_489_096_277,
        ),
    )

    def official_facts(self, folder: Path) -> list[Any]:
        """The checksum of the archive or, of an unpacked folder, what is in it."""
        unpacked = self._unpacked(folder)
        return super().official_facts(folder) if unpacked is None else sorted(scan(unpacked, TOP))

    def fetch_official(self, folder: Path) -> None:
        """Download the archive into `folder`, unless it lies there unpacked. Raises UserError."""
        if self._unpacked(folder) is None:
            super().fetch_official(folder)

    def read_official(self, folder: Path) -> Arrays:
        """All spectrograms, from the archive or the unpacked folder. UserError names the file at fault."""
        source = self._unpacked(folder) or folder / self.remotes[0].filename
        with _readable(source):
            words, others, lists = _listed(source)
            classes = sorted({name.split("/")[0] for name in words})
            if not 2 <= len(classes) <= self.n_classes:
                found = (
                    f"{len(classes)} words ({', '.join(classes[:3])}, ...)" if classes else "no WORD/*.wav"
                )
                raise UserError(f"{source}: {found}; {TOP} has {self.n_classes} words, each a folder")
            splits = _splits(source, words, lists)
            tell_left_out(str(source), "sounds have no place in the layout", others)
            return _decoded(source, splits, classes)

    def _unpacked(self, folder: Path) -> Path | None:
        """The unpacked folder, where there is one and no archive beside it."""
        if (folder / self.remotes[0].filename).exists():
            return None
        return next((here for here in (folder, folder / TOP) if (here / next(iter(LISTS))).is_file()), None)


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """What is wrong with the archive or folder itself, in one line."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(f"{source}: cannot be read ({reason}); {_AGAIN}") from error


def _files(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every file's name and what reads it, before the next one is asked for: an archive does not go back."""
    if source.is_dir():
        for name, _, _ in scan(source, ""):
            yield name[1:], (source / name[1:]).read_bytes
        return
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix("./"), partial(_content, archive, member)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # it is a file
    return file.read()


def _listed(source: Path) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """The names of the words' files, of sounds that lie elsewhere, and the lines of the official lists."""
    words: list[str] = []
    others: list[str] = []
    lists: dict[str, list[str]] = {}
    for name, read in _files(source):
        if name in LISTS:
            lists[name] = read().decode("utf-8", "replace").split()
        elif name.lower().endswith(".wav") and not name.startswith(("_", ".")) and "/." not in name:
            (words if name.count("/") == 1 else others).append(name)
    return words, others, lists


def _splits(source: Path, words: Sequence[str], lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The split of each file."""
    splits = dict.fromkeys(words, "train")
    for file, split in LISTS.items():
        names = lists.get(file, ())
        if not names:
            raise UserError(f"{source}: no {file} in it, or an empty one: which files are for {split}?")
        if missing := [name for name in names if name not in splits]:
            raise UserError(
                f"{source}: {file} names {len(missing):,} of {len(names):,} files that are not there, such "
                f"as {missing[0][:80]}; unpack the archive again"
            )
        if twice := [name for name in names if splits[name] != "train"]:
            raise UserError(f"{source}: {file} names {twice[0]}, which is for {splits[twice[0]]} already")
        splits |= dict.fromkeys(names, split)
    return splits


def _decoded(source: Path, splits: Mapping[str, str], classes: Sequence[str]) -> Arrays:
    """The spectrogram of each file in the row that is next in its split."""
    left, label = dict(splits), {word: k for k, word in enumerate(classes)}
    counted = Counter(splits.values())
    sizes = {split: counted[split] for split in ("train", *LISTS.values())}
    x = {split: np.empty((n, 1, BINS, FRAMES), np.float16) for split, n in sizes.items()}
    y = {split: np.empty(n, np.int64) for split, n in sizes.items()}
    row = dict.fromkeys(sizes, 0)
    with tqdm(total=len(left), desc="decode", unit="word", disable=None) as bar:
        for name, read in _files(source):
            split = left.pop(name, None)
            if split is None:
                continue
            k, row[split] = row[split], row[split] + 1
            x[split][k, 0] = log_spectrogram(read_wav(f"{source}/{name}", read()))
            y[split][k] = label[name.split("/")[0]]
            bar.update()
    return Arrays(
        *(x["train"], y["train"], x["test"], y["test"], tuple(classes)),
        x_validation=x["validation"],
        y_validation=y["validation"],
    )
