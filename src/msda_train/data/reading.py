"""From a picture's file to the pixels of a batch: what the workers of a streamed set do.

What is random about an image is a function of (seed, epoch, its number), so neither the number of workers nor
an interruption changes a pixel. A worker is told the path of each image; it remembers none.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msda_train.core.randomness import generator
from msda_train.data.decoding import Unreadable, open_rgb

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

GREY = 128  # of the picture in the place of one that nobody can read
PATIENCE = (1.0, 5.0)  # seconds before a file is asked for again: a server on the network may be away a while


class Task(NamedTuple):
    """One image to read: `name` is its path below the root. Where `place`, the words of `generator`, is None
    nothing is random. `spare`: the one to take where it cannot be decoded."""

    name: bytes
    spare: bytes = b""
    place: tuple[int, str, int, int] | None = None


class Remark(NamedTuple):
    """What was odd about an image. kind: one of KINDS."""

    name: bytes
    kind: str
    words: str


KINDS = ("gone", "unreadable", "odd")


@dataclass(frozen=True)
class Look:
    """How a picture becomes `size` x `size` pixels where nothing is random: its shorter side is resized to
    `resize`, then the middle is cut out (torchvision's Resize and CenterCrop, bilinear).

    upright: whether it is turned as its EXIF orientation says; draft: whether a large JPEG is decoded at a
    part of its size, faster and with slightly other pixels; squeeze: whether both sides are resized to
    `resize`, whatever they were."""

    size: int
    resize: int
    upright: bool = True
    draft: bool = False
    squeeze: bool = False

    def resized(self, picture: "Picture") -> "Picture":
        """The shorter side, or both, as it should be."""
        from torchvision.transforms.v2 import functional as F

        made: Picture = F.resize(picture, [self.resize] * (1 + self.squeeze), antialias=True)
        return made

    def middle(self, picture: "Picture") -> "Picture":
        """What the network sees in evaluation."""
        from torchvision.transforms.v2 import functional as F

        made: Picture = F.center_crop(self.resized(picture), [self.size, self.size])
        return made


@dataclass(frozen=True)
class Augment:
    """torchvision's RandomResizedCrop with this range of area and of width to height; where `scale` is None a
    window of the resized picture in a frame of `padding` pixels, of torchvision's kind `frame`. Then,
    perhaps, a mirror."""

    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    frame: str = "constant"
    flip: bool = False

    def __call__(self, picture: "Picture", look: Look, place: tuple[int, str, int, int]) -> "Picture":
        """The picture that the generator of `place` makes of `picture`."""
        import torch
        from torchvision.transforms import v2

        if self.scale is None:
            steps: list[Any] = [v2.RandomCrop(look.size, padding=self.padding, padding_mode=self.frame)]
            picture = look.resized(picture)
        else:
            steps = [v2.RandomResizedCrop(look.size, self.scale, self.ratio, antialias=True)]
        steps += [v2.RandomHorizontalFlip()] if self.flip else []
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own
            torch.default_generator.manual_seed(int(generator(*place).integers(2**62)))
            for step in steps:
                picture = step(picture)
        return picture


@dataclass(frozen=True)
class Reader:
    """Reads images below `root`, each by its `Task`."""

    root: str
    look: Look
    augment: Augment = Augment()

    def __getitem__(self, task: Task) -> tuple[np.ndarray, list[Remark]]:
        """(size, size, 3) uint8, and what was odd. Never raises for what is wrong with a file."""
        remarks: list[Remark] = []
        for name in filter(None, (task.name, task.spare)):
            try:
                picture, odd = self._open(name)
                remarks += [Remark(name, "odd", odd)] if odd else []
                if task.place is not None:
                    return np.asarray(self.augment(picture, self.look, task.place)), remarks
                return np.asarray(self.look.middle(picture)), remarks
            except Unreadable as error:
                remarks.append(Remark(name, "unreadable", str(error)))
            except OSError as error:
                remarks.append(Remark(name, "gone", error.strerror or str(error)))
                break
        return np.full((self.look.size, self.look.size, 3), GREY, dtype=np.uint8), remarks

    def _open(self, name: bytes) -> tuple["Picture", str]:
        path = Path(self.root, os.fsdecode(name))
        for seconds in (*PATIENCE, None):
            try:
                content = path.read_bytes()
                break
            except OSError:
                if seconds is None:
                    raise
                time.sleep(seconds)
        least = self.look.resize if self.look.draft else None
        return open_rgb(path.name, content, upright=self.look.upright, least=least)


def together(images: Sequence[tuple[np.ndarray, list[Remark]]]) -> tuple[Any, list[Remark]]:
    """A batch (B, size, size, 3) uint8 tensor, and all remarks."""
    import torch

    return torch.from_numpy(np.stack([pixels for pixels, _ in images])), [r for _, rs in images for r in rs]
