"""A data set as the config names it, and the verbs on it: `examples`, `prepare`, `verify`.

Subclasses hold the official facts of one set and read its official files. This module imports no decoder and
no torch, so that `msda-data list` answers at once.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.content import content_as_stored, in_canonical_order
from msda_train.data.download import Remote, fetch
from msda_train.data.examples import Arrays, Examples, Verdict, check_classes
from msda_train.data.holdout import held_out
from msda_train.data.images import Images
from msda_train.data.noise import corrupted
from msda_train.data.options import check_options, places
from msda_train.data.resize import sized
from msda_train.data.store import Store, signature
from msda_train.data.subset import balanced, capped


def _taken(x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x[chosen], y[chosen]


@dataclass(frozen=True)
class Dataset:
    """A set of pictures; subclasses may hold examples of another `kind`.

    The fields are those of `configs/dataset/*.yaml`. mean, std and below are facts of pictures that reach a
    run through recipe.* and method.*; the data themselves stay uint8."""

    name: str
    source: str = "imagefolder"  # imagefolder | npz, and download or embedded where there is an official set
    root: str | None = (
        None  # download: a folder; imagefolder: a folder; npz: a file, or a folder with NAME.npz
    )
    cache: str | None = None  # folder of decoded arrays
    subset: int | None = None  # class-balanced, of the training images
    test_subset: int | None = None
    subset_seed: int = 0
    holdout: float = 0.0  # share of the training images that is measured in place of the test images
    cap_per_class: int | None = None  # before the subset; training images only
    label_noise: float = 0.0  # share of the training labels that are replaced by random ones
    label_noise_seed: int = 0
    empty_classes: bool = False  # whether a class may lack training or test images
    size: int | tuple[int, ...] | None = None  # of pictures, one side or (height, width); None: as they are
    test_share: float | None = None  # of an imagefolder without test images
    split_seed: int | None = 0  # draws these
    mean: tuple[float, ...] | str = ()  # or AUTO
    std: tuple[float, ...] | str = ()
    crop_padding: int = 0
    flip: bool = False
    cutout_length: int = 0

    kind: ClassVar[type[Examples]] = Images
    shape: ClassVar[tuple[int, ...] | None] = None  # of an example, pictures (H, W, C); official from here on
    n_classes: ClassVar[int | None] = None
    n_train: ClassVar[int | None] = None
    n_validation: ClassVar[int | None] = None  # where there is such a split
    n_test: ClassVar[int | None] = None
    class_names: ClassVar[tuple[str, ...] | None] = None
    sources: ClassVar[tuple[str, ...]] = ("imagefolder", "npz")
    comes: ClassVar[str] = ""  # how a set without files does, in words
    remotes: ClassVar[tuple[Remote, ...]] = ()
    official_content: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for field in ("mean", "std"):  # OmegaConf hands over its own list type
            value = getattr(self, field)
            if not isinstance(value, str):
                value = tuple(value) if isinstance(value, Iterable) else (value,)
            object.__setattr__(self, field, value)
        if isinstance(self.size, Iterable):
            object.__setattr__(self, "size", tuple(self.size))

    # What a run uses ----------------------------------------------------------------------------------------

    def examples(self, seed: int = 0) -> Examples:
        """What the run of this seed sees: `prepare` and then `select`."""
        return self.select(self.prepare(), seed)

    def split_of(self, seed: int) -> int | None:
        """What of `seed` decides which examples a run sees; None where all seeds see the same."""
        return None

    def select(self, whole: Examples, seed: int = 0) -> Examples:
        """`whole` after holdout, cap and subsets of this config. UserError names the option that is wrong."""
        whole = held_out(whole, self.holdout, self.subset_seed, self.empty_classes)
        x, y, x_test, y_test = whole.x_train, whole.y_train, whole.x_test, whole.y_test
        boxes = whole.boxes_test
        left_out = None
        if self.cap_per_class is not None:
            kept = capped(y, self.cap_per_class)
            x, y = x[kept], y[kept]
        if self.subset is not None:
            rng = generator(self.subset_seed, "subset")
            chosen = balanced(y, self.subset, rng, option="dataset.subset")
            others = np.setdiff1d(np.arange(len(y)), chosen)
            left_out = partial(_taken, x, y, others) if len(others) else None
            x, y = x[chosen], y[chosen]
        clean = None
        if self.label_noise:
            rng = generator(self.label_noise_seed, "label_noise")
            clean, y = y, corrupted(y, self.label_noise, len(whole.classes), rng)
        if self.test_subset is not None:
            rng = generator(self.subset_seed, "test_subset")
            chosen = balanced(y_test, self.test_subset, rng, option="dataset.test_subset")
            x_test, y_test = x_test[chosen], y_test[chosen]
            boxes = None if boxes is None else boxes[chosen]
        test: dict[str, Any] = {"x_test": x_test, "y_test": y_test, "boxes_test": boxes}
        return replace(whole, x_train=x, y_train=y, **test, y_clean=clean, left_out=left_out)

    def prepare(self, *, rebuild: bool = False) -> Examples:
        """The whole set, from the cache or decoded into it; `rebuild` decodes it in any case."""
        self._check()
        store = self._store()
        source = self._signature()
        found = None if rebuild else store.open(source)
        if found is None:
            arrays, content = in_canonical_order(sized(self._read(), self.size))
            store.save(source, arrays, content)
            found = store.open(source)
        if found is None:  # another process emptied the cache folder this moment
            raise UserError(f"dataset.cache: {store.folder} was emptied meanwhile; type the command again")
        return self._named(*found)

    @property
    def verified(self) -> str:
        """What `verify` found where it raises nothing."""
        return f"all cached {self.kind.noun} hash to this content"

    def verify(self) -> Verdict:
        """Hash every cached image again. UserError where nothing is prepared or a file is damaged."""
        self._check()
        found = self._store().open(self._signature())
        if found is None:
            raise UserError(f"dataset {self.name} is not prepared; type: {self.command('prepare')}")
        examples = self._named(*found)
        intact = content_as_stored(examples) == examples.content
        same = self.official_content is not None and examples.content == self.official_content
        official = True if same else (None if examples.complete or self.n_train is None else False)
        return Verdict(examples, intact, official)

    def prepared(self) -> bool:
        """Whether the cache seems to have this source; looks at file sizes only and never raises."""
        try:
            self._check()
            return self._store().has(self._signature())
        except UserError:
            return False

    def at_hand(self) -> bool:
        """Whether a run could read this source without any network; never raises."""
        try:
            return self.source == "embedded" or self.prepared() or all(p.exists() for p in self.files())
        except UserError:
            return False

    def checksummed(self) -> bool:
        """Whether the files are the official ones byte for byte; what somebody unpacked is not compared."""
        official = [[remote.filename, remote.checksum] for remote in self.remotes]
        files = self.source == "download" and all(checksum for _, checksum in official)
        return files and self.official_facts(self._folder()) == official

    # Where things are ---------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """Where the files of this source are expected. UserError where dataset.root is needed and null."""
        if self.source == "embedded":
            return []
        if self.source == "download":
            return [self._folder() / remote.filename for remote in self.remotes]
        if self.root is None:
            raise UserError(f"dataset.root is null; type {self.example}")
        path = paths.typed_path("dataset.root", self.root).absolute()
        return [path / f"{self.name}.npz" if self.source == "npz" and path.is_dir() else path]

    @property
    def example(self) -> str:
        """What to type where `root` is missing."""
        root = "FILE.npz" if self.source == "npz" else "FOLDER"
        return f"dataset.root={root} with dataset.source={self.source}"

    @property
    def word(self) -> str:
        """What is typed behind dataset= for a set of this class."""
        return "own" if type(self) is Dataset else self.name

    def command(self, verb: str) -> str:
        """The words to type for `msda-data VERB` on this source."""
        own = self.word != self.name
        words = ["msda-data", verb, self.word]
        words += [f"dataset.name={self.name}"] if own else []
        words += [f"dataset.source={self.source}"] if own or self.source != self.sources[0] else []
        words += [f"dataset.{key}={value}" for key, value in places(self)]
        return shlex.join(words)

    # What a named set overrides -----------------------------------------------------------------------------

    def official_facts(self, folder: Path) -> list[Any]:
        """What names the official source: checksums, so that archives may go once they are decoded."""
        return [[remote.filename, remote.checksum] for remote in self.remotes]

    def fetch_official(self, folder: Path) -> None:
        """Download the official files into `folder`, but for those that are there. Raises UserError."""
        for remote in self.remotes:
            fetch(remote, folder, own_files="npz" in self.sources)

    def read_official(self, folder: Path) -> Arrays:
        """Decode the official files in `folder`."""
        raise NotImplementedError(f"{type(self).__name__} has no official files")

    # --------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        check_options(self)

    def _folder(self) -> Path:
        if self.root is None:
            return paths.DATA / self.name
        return paths.typed_path("dataset.root", self.root).absolute()

    def _store(self) -> Store:
        cache = paths.DATA / "arrays" if self.cache is None else paths.typed_path("dataset.cache", self.cache)
        return Store(cache.absolute(), f"{self.command('prepare')} --rebuild")

    def _signature(self) -> str:
        """Changes when a file of the source does. UserError where the source is not there at all."""
        if self.source in ("download", "embedded"):
            facts, place = self.official_facts(self._folder()), ""
        else:
            (path,) = self.files()
            facts, place = self._local_facts(path), str(path)
        made = [["size", self.size]] if self.size else []
        return signature(self.name, self.source, self.n_classes, place, facts, *made)

    def _local_facts(self, path: Path) -> list[Any]:
        if self.source == "imagefolder":
            from msda_train.data.decoding import WAY
            from msda_train.data.imagefolder import source_files

            split = [] if self.test_share is None else [self.test_share, self.split_seed]
            return [WAY, *split, source_files(path, self.test_share)]
        if not path.is_file():
            raise UserError(
                f"dataset.root={path}: no such file; give an .npz with x_train, y_train, x_test, y_test, "
                f"or type dataset.source=imagefolder dataset.root=FOLDER"
            )
        facts = path.stat()
        return [path.name, facts.st_size, facts.st_mtime_ns]

    def _read(self) -> Arrays:
        if self.source in ("download", "embedded"):
            folder = self._folder()
            self.fetch_official(folder)
            return self.read_official(folder)
        (path,) = self.files()
        if self.source == "npz":
            from msda_train.data.npz import read_npz

            return read_npz(path, official_classes=self.n_classes, class_names=self.class_names)
        from msda_train.data.imagefolder import read_folder

        split: dict[str, Any] = {"test_share": self.test_share, "split_seed": self.split_seed}
        return read_folder(path, official_classes=self.n_classes, size=self.size, **split)

    def _check_whole(self, arrays: Arrays) -> None:
        if not self.empty_classes:
            check_classes(
                f"dataset {self.name}" if self.root is None else f"dataset.root={self.root}", arrays
            )

    def _named(self, arrays: Arrays, content: str) -> Examples:
        self._check_whole(arrays)
        counts = (len(arrays.x_train), arrays.n_validation, len(arrays.x_test))
        complete = counts == (self.n_train, self.n_validation, self.n_test)
        complete &= (arrays.x_train.shape[1:], len(arrays.classes)) == (self.shape, self.n_classes)
        checked = self.source == "download" and all(remote.checksum for remote in self.remotes)
        if self.official_content is not None and not checked:  # an archive has its own checksum
            complete = content == self.official_content
        return self.kind(**vars(arrays), name=self.name, content=content, complete=complete)
