"""MS-COCO's captions of 2014 (Lin et al., arXiv:1405.0312; Chen et al., arXiv:1504.00325), in their files.

82,783 training and 40,504 validation images, of each some five captions:

    ROOT/annotations/captions_train2014.json, captions_val2014.json
    ROOT/train2014/*.jpg, ROOT/val2014/*.jpg

Both sides of a picture are resized to 256 pixels, whatever they were, then a window of 224 pixels is cut out
(stevehuanghe/image_captioning). Words are those of nltk's word_tokenize in lower case, but for one step: it
would first cut a caption into sentences, by a model that has to be downloaded, and here a caption is one. So
only in captions of several sentences a full stop stays with the word before it.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from torch.utils.data import Dataset

from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng
from msda_train.data.picture_files import Paths
from msda_train.data.reading import Augment, Look, Reader, Task

COMPLETE = {"train": (82_783, 414_113), "val": (40_504, 202_654)}  # images, captions
ADDRESS = "http://images.cocodataset.org"
SIZE = 224
LOOK = Look(SIZE, 256, upright=False, squeeze=True)
WINDOW = Augment(flip=True)  # a random one, perhaps mirrored

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")


@dataclass(frozen=True)
class Pictures:
    """Those of one part below `folder`, in the order of its file, and the captions in the order of theirs.

    owner: (captions,) place of the picture that each belongs to."""

    part: str
    folder: str
    names: Paths
    captions: Sequence[str]
    owner: np.ndarray

    def __len__(self) -> int:
        return len(self.names.ends) - 1

    @property
    def complete(self) -> bool:
        """Whether they are as many as they should be."""
        return (len(self), len(self.captions)) == COMPLETE[self.part]

    @property
    def content(self) -> str:
        """A hash of the names of the pictures and of what is said of which."""
        digest = hashlib.sha256(self.owner.tobytes())
        for number in range(len(self)):
            digest.update(self.names[number] + b"\n")
        for caption in self.captions:
            digest.update(caption.encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def captions_of(self) -> list[list[str]]:
        """Of each picture."""
        found: list[list[str]] = [[] for _ in range(len(self))]
        for caption, place in zip(self.captions, self.owner, strict=True):
            found[place].append(caption)
        return found


def read_part(root: Path, part: str) -> Pictures:
    """The pictures of `part`, train or val, that have a caption. UserError names the file that is not there
    or damaged, and what to type."""
    file = root / "annotations" / f"captions_{part}2014.json"
    folder = root / f"{part}2014"
    for path in (file, folder):
        if not path.exists():
            raise _missing(path, root)
    try:
        raw = orjson.loads(file.read_bytes())
        names = {int(image["id"]): os.fsencode(str(image["file_name"])) for image in raw["images"]}
        told = [(int(each["image_id"]), str(each["caption"])) for each in raw["annotations"]]
        captioned = {image for image, _ in told}
        names = {image: name for image, name in names.items() if image in captioned}
        place = {image: number for number, image in enumerate(names)}
        owner = np.array([place[image] for image, _ in told], dtype=np.int32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:80]
        raise UserError(f"{file}: cannot be read as captions ({why}); get the file anew") from None
    if not any(caption.strip() for _, caption in told):
        raise UserError(f"{file}: holds no caption; get the file anew")
    here = set(os.listdir(os.fsencode(folder)))
    if gone := [name for name in names.values() if name not in here]:
        raise _missing(folder / os.fsdecode(gone[0]), root)
    return Pictures(part, str(folder), Paths(names.values()), [caption for _, caption in told], owner)


def _missing(path: Path, root: Path) -> UserError:
    return UserError(
        f"{path} is missing; type probes.captions.root=FOLDER, or unpack in {root} "
        f"{ADDRESS}/zips/train2014.zip, zips/val2014.zip and annotations/annotations_trainval2014.zip"
    )


def words_of(caption: str) -> list[str]:
    """As nltk cuts them, in lower case."""
    from nltk.tokenize import word_tokenize

    found: list[str] = word_tokenize(caption.lower(), preserve_line=True)
    return found


class Vocabulary:
    """SPECIAL, then the words that occur at least `least` times in `captions`, each a list of words, in the
    order of their first occurrence."""

    def __init__(self, captions: Sequence[Sequence[str]], least: int) -> None:
        counts = Counter(word for words in captions for word in words)
        self.words = [*SPECIAL, *(word for word, count in counts.items() if count >= least)]
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, words: Sequence[str]) -> list[int]:
        """Of each word; UNKNOWN where it is not in the vocabulary."""
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def sentence(self, numbers: Sequence[int]) -> str:
        """What is said before the first END, without START."""
        said = list(numbers)
        said = said[: said.index(END)] if END in said else said
        return " ".join(self.words[number] for number in said if number != START)


class Seen(NamedTuple):
    """pixels: (224, 224, 3) uint8; words: numbers, without START and END."""

    pixels: np.ndarray
    words: np.ndarray


class Examples:
    """One for each caption, to learn from: see `evaluation.fine_tuning.Drawn`. What a worker is sent are a
    few arrays."""

    def __init__(self, pictures: Pictures, captions: Sequence[Sequence[str]], words: Vocabulary) -> None:
        self.names, self.owner = pictures.names, pictures.owner
        self.reader = Reader(pictures.folder, LOOK, WINDOW)
        self.ends = np.cumsum([0, *map(len, captions)])
        self.numbers = np.array([n for caption in captions for n in words.numbers(caption)], dtype=np.int32)

    def __len__(self) -> int:
        return len(self.owner)

    def drawn(self, index: int, rng: Rng) -> Seen:
        """A caption, and a window of its picture."""
        place = (int(rng.integers(2**31)), "probe/captions/window", 0, 0)
        words = self.numbers[self.ends[index] : self.ends[index + 1]]
        return _seen(self.reader, Task(self.names[self.owner[index]], place=place), words)


class Shown(Dataset[Seen]):
    """The pictures in their order, without words. seed: of the windows that are cut out at random; None: the
    middle."""

    def __init__(self, pictures: Pictures, seed: int | None) -> None:
        self.names, self.seed = pictures.names, seed
        self.reader = Reader(pictures.folder, LOOK, WINDOW)

    def __len__(self) -> int:
        return len(self.names.ends) - 1

    def __getitem__(self, k: int) -> Seen:
        place = None if self.seed is None else (self.seed, "probe/captions/test", 0, k)
        return _seen(self.reader, Task(self.names[k], place=place), np.empty(0, dtype=np.int32))


def _seen(reader: Reader, task: Task, words: np.ndarray) -> Seen:
    """UserError names a file that cannot be read."""
    pixels, remarks = reader[task]
    bad = [remark.words for remark in remarks if remark.kind != "odd"]
    if bad:
        path = os.path.join(reader.root, os.fsdecode(task.name))
        raise UserError(f"{path}: cannot be read ({bad[0]}); get the file anew")
    return Seen(pixels, words)
