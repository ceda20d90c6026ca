"""Row 22: images per second from JPEG files, decoded, cropped, mirrored and normalised on the device."""

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.reference_loop import WORKERS
from bench.settings import Settings
from bench.table import Row, at_least
from bench.timing import interleaved, spread, timer_of
from msda_train.data.reading import Augment
from msda_train.data.stream_loader import Colours, StreamLoader
from msda_train.data.streamed import Streamed
from msda_train.training.distributed import ALONE

SIZE = 500, 375  # width, height of most of ImageNet's images
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
JITTER = 0.4


def rows(settings: Settings) -> Iterator[Row]:
    """An epoch of ours against torchvision's ImageFolder and transforms in a DataLoader, as many workers;
    both jitter brightness, contrast and saturation."""
    workers = WORKERS if settings.device.type == "cuda" else 0
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), settings.files)
        images = Streamed("bench", root=folder).examples()
        colours = Colours(MEAN, STD, jitter=JITTER)
        ours = StreamLoader(
            images.x_train,  # type: ignore[arg-type]  # files in the place of an array
            images.y_train,
            batch_size=settings.file_batch,
            device=settings.device,
            colours=colours,
            augment=Augment((0.08, 1.0), flip=True),
            workers=workers,
            team=ALONE,
            seed=0,
        )
        epochs, theirs = count(), _reference(Path(folder), settings.file_batch, workers)

        def our_epoch() -> None:
            for _ in ours.train_batches(next(epochs)):
                pass

        def their_epoch() -> None:
            for x, _ in theirs:
                x.to(settings.device)

        cases = {"ours": our_epoch, "theirs": their_epoch}
        seconds = interleaved(cases, rounds=settings.slow_rounds, timer=timer_of(settings.device))
    yield Row(
        22,
        f"{settings.files} JPEG files of {SIZE[0]}x{SIZE[1]}, {workers} workers, times faster",
        spread(settings.files / seconds["ours"]),
        "images/s",
        "torchvision ImageFolder, ColorJitter",
        spread(settings.files / seconds["theirs"]),
        spread(seconds["theirs"] / seconds["ours"]),
        goal=at_least(1, 1.2),
        rounds=settings.slow_rounds,
    )


def _write(root: Path, files: int) -> None:
    """Smooth colours with some noise, so that a file is about as large as ImageNet's, 110 kB."""
    rng = np.random.default_rng(0)
    for split, n in (("train", files), ("val", 2)):
        for k in range(n):
            folder = root / split / f"n0{k % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(SIZE)
            noisy = np.asarray(smooth) + rng.normal(0, 12, (SIZE[1], SIZE[0], 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{k}.JPEG", quality=90)


def _reference(root: Path, batch: int, workers: int) -> "DataLoader[Any]":
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    steps += [
        transforms.ColorJitter(JITTER, JITTER, JITTER),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    images = ImageFolder(root / "train", transforms.Compose(steps))
    several = {"persistent_workers": True, "pin_memory": True} if workers else {}
    return DataLoader(images, batch_size=batch, shuffle=True, num_workers=workers, **several)  # type: ignore[arg-type]
