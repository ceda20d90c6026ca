"""Images that belong to no class of the network: noise, and pictures of other data sets.

Liang et al. (ODIN, ICLR 2018, arXiv:1706.02690), whose sets CutMix's Table 12 has: Gaussian noise of mean 0.5
and standard deviation 1 clamped to [0, 1], uniform noise, TinyImageNet and LSUN as random crops and resized.
paganpasta/OnMixup (evaluation.py) draws 1,024 images with the mean and standard deviation of the data set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng
from msda_train.data.dataset import Dataset
from msda_train.data.images import Images
from msda_train.data.moments import channel_moments
from msda_train.evaluation.probes.subject import BATCH, Subject, to_pixels
from msda_train.functional.colour import GREY


@dataclass(frozen=True)
class Pixels:
    """A set that is ready: its name, which says all that changes a number; how many images; batches of
    pixels (B, C, H, W) in [0, 1] that fit the network; what was done to them."""

    name: str
    count: int
    batches: Iterator[Tensor]
    remark: str


@dataclass(frozen=True)
class Noise:
    """Every value of every pixel drawn on its own: kind `gaussian` clamped to [0, 1], or `uniform` on it.

    mean, std: of the Gaussian, for all channels; None: those of each channel of the test images.
    images: how many; None: as many as there are test images.
    """

    kind: str = "gaussian"
    mean: float | None = None
    std: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        checks.one_of("probes.ood: kind", self.kind, ("gaussian", "uniform"))
        if (self.mean is None) != (self.std is None):
            raise UserError("probes.ood: a Gaussian needs both mean and std, or neither; type mean=0.5 std=1")
        if self.mean is not None and self.std is not None:
            checks.number("probes.ood: mean", self.mean)
            checks.positive("probes.ood: std", self.std)
        if self.images is not None:
            checks.whole("probes.ood: images", self.images, least=1)

    def pixels(self, subject: Subject, limit: int | None, rng: Rng) -> Pixels:
        """The images, the same for the same `rng`."""
        test = subject.pictures.x_test
        n = self.images or len(test)
        n = n if limit is None else min(n, limit)
        moments = f"_{self.mean:g}_{self.std:g}" if self.mean is not None else ""
        name = self.kind + moments + (f"_n{self.images}" if self.images else "")
        shape = (test.shape[3], *test.shape[1:3])
        if self.kind == "uniform":
            return Pixels(name, n, self._drawn(subject, n, shape, rng, None), "uniform noise on [0, 1]")
        if self.mean is None or self.std is None:
            mean, std = channel_moments(test)
        else:
            mean, std = (np.full(shape[0], value) for value in (self.mean, self.std))
        text = ", ".join(f"{m:.3f} +- {s:.3f}" for m, s in zip(mean, std, strict=True))
        remark = f"Gaussian noise, mean +- std of each channel {text}, clamped to [0, 1]"
        return Pixels(name, n, self._drawn(subject, n, shape, rng, (mean, std)), remark)

    @staticmethod
    def _drawn(
        subject: Subject,
        n: int,
        shape: tuple[int, ...],
        rng: Rng,
        moments: tuple[np.ndarray, np.ndarray] | None,
    ) -> Iterator[Tensor]:
        for start in range(0, n, BATCH):
            size = (min(BATCH, n - start), *shape)
            if moments is None:
                values = rng.random(size, dtype=np.float32)
            else:
                mean, std = (m.astype(np.float32)[:, None, None] for m in moments)
                values = np.clip(mean + std * rng.standard_normal(size, dtype=np.float32), 0, 1)
            drawn = torch.from_numpy(values).to(subject.device)
            yield drawn.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Pictures:
    """The test images of another data set, brought to the size of the network's: `fit` is `resize` (bilinear,
    antialiased; no 8-bit rounding) or `crop` (a random place of each image), and part of the set's name; None
    resizes, and the name says so only where that is needed. Grey becomes three equal channels, RGB becomes
    luma."""

    dataset: Dataset
    fit: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, Dataset):
            raise UserError("probes.ood: a set needs dataset, a node as in configs/dataset/")
        if self.fit is not None:
            checks.one_of("probes.ood: fit", self.fit, ("resize", "crop"))

    def pixels(self, subject: Subject, limit: int | None, rng: Rng) -> Pixels:
        """The images; UserError where they are not on this machine (nothing is ever downloaded here), are the
        network's own, or too small to crop."""
        images = self._images()
        own = subject.pictures
        if images.content == own.content:
            raise UserError(f"{self.dataset.name} is the data set of the run itself, not out of distribution")
        if self.fit == "crop" and any(a < b for a, b in zip(images.size, own.size, strict=True)):
            raise UserError(f"fit=crop: {images.name} has smaller images than the run; type fit=resize")
        fit = self.fit or ("" if images.size == own.size else "resize")
        subset = f"_n{self.dataset.test_subset}" if self.dataset.test_subset else ""
        name = self.dataset.name + (f"_{fit}" if fit else "") + subset
        n = len(images.x_test) if limit is None else min(len(images.x_test), limit)
        return Pixels(name, n, self._fitted(subject, images, n, rng), _changes(images, own, fit, n))

    def _images(self) -> Images:
        dataset = self.dataset
        if dataset.source in ("imagefolder", "npz") and dataset.root is None:
            raise UserError(f"{dataset.name}: no folder given; type its root=FOLDER")
        if dataset.source == "download" and not dataset.prepared():
            raise UserError(
                f"{dataset.name}: not prepared on this machine; type: {dataset.command('prepare')}"
            )
        examples = replace(dataset, empty_classes=True).examples()  # only its pictures count
        if not isinstance(examples, Images):
            raise UserError(f"{dataset.name}: holds no pictures; leave it out")
        return examples

    def _fitted(self, subject: Subject, images: Images, n: int, rng: Rng) -> Iterator[Tensor]:
        height, width = subject.pictures.size
        for start in range(0, n, BATCH):
            x = np.asarray(images.x_test[start : min(start + BATCH, n)])
            if images.size != (height, width) and self.fit == "crop":
                x = random_crops(x, height, width, rng)
            pixels = to_pixels(x, subject.device)
            if pixels.shape[-2:] != (height, width):
                pixels = F.interpolate(
                    pixels, (height, width), mode="bilinear", antialias=True, align_corners=False
                ).clamp(0, 1)
            yield with_channels(pixels, subject.pictures.channels)


def random_crops(x: np.ndarray, height: int, width: int, rng: Rng) -> np.ndarray:
    """One crop (N, height, width, C) of each image of x, at a uniformly drawn place."""
    tops = rng.integers(0, x.shape[1] - height + 1, len(x))
    lefts = rng.integers(0, x.shape[2] - width + 1, len(x))
    return np.stack(
        [image[t : t + height, s : s + width] for image, t, s in zip(x, tops, lefts, strict=True)]
    )


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Pixels (B, 1 or 3, H, W) as (B, channels, H, W)."""
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    return (pixels * torch.tensor(GREY, device=pixels.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _changes(images: Images, own: Images, fit: str, n: int) -> str:
    done = [f"{n} test images of {images.name}"]
    if images.size != own.size:
        how = "cropped at random places" if fit == "crop" else "resized (bilinear, antialiased)"
        done.append(f"{how} from {images.size[0]}x{images.size[1]} to {own.size[0]}x{own.size[1]}")
    if images.channels != own.channels:
        done.append("grey to three channels" if own.channels == 3 else "RGB to luma")
    return ", ".join(done)
