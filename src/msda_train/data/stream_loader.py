"""Batches of pictures that are read from their files by worker processes while a network is trained.

Workers decode, crop and mirror; a batch of bytes goes to the device, where its colours are changed and
normalised at once. Where several processes train one run, each reads its own rows of a batch, and the others
give it theirs: every image is decoded once.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.core.origin import Origin
from msda_train.core.randomness import generator
from msda_train.data.batches import WHOLE, Batches, Draw, upload
from msda_train.data.picture_files import PictureFiles, raise_if_gone
from msda_train.data.reader_pool import workers_of
from msda_train.data.reading import Augment, Reader, Remark, Task
from msda_train.functional.colour import colour_maps, draw_colours, recoloured

FORGIVEN = 1  # unreadable images that never end a run, however few images there are


class Shares(Protocol):
    """Who reads what where several processes read together; see `training.distributed.Team`."""

    def rows(self, count: int) -> slice:
        """Of `count` rows, those of this process."""
        ...

    def gathered(self, own: Tensor, count: int) -> Tensor:
        """All rows (count, ...), from everybody's own."""
        ...


@dataclass(frozen=True)
class Colours:
    """mean, std: by channel, of pixels in [0, 1]; jitter, lighting: see `functional.colour`, in training."""

    mean: Sequence[float]
    std: Sequence[float]
    jitter: float = 0.0
    lighting: float = 0.0


class StreamLoader(Batches):
    """Images and labels of one split, in batches x (B, 3, size, size) float32 channels_last, y (B,) int64.

    files: N images; labels: (N,) integers; team: who reads what; notes: the file that names odd images. With
    a `seed` it is a training loader. UserError where more images cannot be decoded than `files` forgives.
    """

    def __init__(
        self,
        files: PictureFiles,
        labels: np.ndarray,
        *,
        batch_size: int,
        device: torch.device | str,
        colours: Colours,
        augment: Augment,
        workers: int,
        team: Shares,
        notes: Path | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(len(files), labels, batch_size=batch_size, device=device, seed=seed)
        for key, value in (("mean", colours.mean), ("std", colours.std)):
            if len(value) != 3:
                raise UserError(
                    f"recipe.{key} has {len(value)} numbers, but the images have 3 channels; give 3"
                )
        self.files, self.colours, self.augment, self.team = files, colours, augment, team
        self.workers, self.notes = workers, notes
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (colours.mean, colours.std))
        self._scale = (1 / (255 * std)).float().to(self.device)  # (byte / 255 - mean) / std
        self._shift = (-mean / std).float().to(self.device)
        self._spare = _next_of_class(np.asarray(labels))
        self._told = _names_in(notes)
        self.odd: Counter[str] = Counter()  # how many images of the last pass were what

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        order = self.order(epoch)
        places = upload(order, self.device)
        for step, (batch, rows) in enumerate(self._read(order, epoch, "augment")):
            yield self._coloured(rows, epoch, step, "colour"), self._labels[places[batch]]

    def train_pairs(self, epoch: int, partners: Draw) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`; partners are cropped, mirrored and coloured by themselves."""
        order = self.order(epoch)
        both = [order, partners(order, self.pairing(epoch))]
        places = [upload(each, self.device) for each in both]
        for step, (batch, rows) in enumerate(self._read(np.stack(both), epoch, "augment")):
            x = self._coloured(rows, epoch, step, "colour")
            yield x, self._labels[torch.cat([each[batch] for each in places])]

    def origins(self, epoch: int) -> Iterator[Origin]:
        """UserError: a crop that was resized lies nowhere in its image, pixel for pixel."""
        raise UserError(
            "method: this one remembers every training image, and a streamed set's are cropped and resized "
            "anew each time; type method.cached=false"
        )

    def test_batches(self, turn: slice = WHOLE) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        slices = list(self.test_slices(turn))
        tasks = ([Task(self.files.name(k)) for k in range(each.start, each.stop)] for each in slices)
        for batch, rows in zip(slices, self._passed(tasks), strict=True):
            yield self._normalised(rows.to(self.device, non_blocking=True)), self._labels[batch]

    def _read(self, order: np.ndarray, epoch: int, stream: str) -> Iterator[tuple[slice, Tensor]]:
        """Each batch's place in `order`, (N,) or (2, N), and its images (B or 2B, size, size, 3) uint8 on the
        device; this process reads its own rows of them."""
        assert self.seed is not None
        seed, slices = self.seed, list(self.train_slices())
        both = order.reshape(-1, self.n)

        def tasks() -> Iterator[list[Task]]:
            for batch in slices:
                wanted = both[:, batch].reshape(-1)
                second = np.arange(len(wanted)) >= batch.stop - batch.start
                own = self.team.rows(len(wanted))
                yield [
                    Task(
                        self.files.name(k),
                        self.files.name(self._spare[k]),
                        (seed, f"{stream}/partner" if partner else stream, epoch, int(k)),
                    )
                    for k, partner in zip(wanted[own], second[own], strict=True)
                ]

        for batch, rows in zip(slices, self._passed(tasks()), strict=True):
            count = len(both) * (batch.stop - batch.start)
            flat = rows.to(self.device, non_blocking=True).view(
                len(rows), -1
            )  # a team has an order of its own
            yield batch, self.team.gathered(flat, count).view(count, *rows.shape[1:])

    def _passed(self, tasks: Iterator[list[Task]]) -> Iterator[Tensor]:
        """What the workers read, one batch after the other."""
        self.odd.clear()
        pool = workers_of(Reader(self.files.root, self.files.look, self.augment), self.workers, self._pinned)
        for rows, remarks in pool(tasks):
            if remarks:
                self._note(remarks)
            yield rows

    @property
    def _pinned(self) -> bool:
        return self.device.type == "cuda"

    def _note(self, remarks: Sequence[Remark]) -> None:
        """Counts and names what was odd, each image once in the file. Raises UserError, RunFailed."""
        raise_if_gone(self.files.root, remarks)
        self.odd.update(remark.kind for remark in remarks)
        new = [r for r in remarks if os.fsdecode(r.name) not in self._told]
        self._told.update(os.fsdecode(remark.name) for remark in new)
        if self.notes is not None and new:
            lines = [f"{os.fsdecode(r.name)}\t{r.kind}: {r.words}\n" for r in new]
            with open(self.notes, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(lines))
        bad = [remark for remark in new if remark.kind == "unreadable"]
        if self.odd["unreadable"] > max(FORGIVEN, self.files.unreadable * self.n):
            first = (bad or [r for r in remarks if r.kind == "unreadable"])[0]
            raise UserError(
                f"dataset.root={self.files.root}: {self.odd['unreadable']} of {self.n:,} images cannot be "
                f"decoded so far, such as {os.fsdecode(first.name)} ({first.words}); repair or delete them, "
                f"or allow a larger share than dataset.unreadable={self.files.unreadable}"
            )
        for remark in bad:
            what = (
                "another image of its class stands in for it"
                if self.seed is not None
                else "it is tested grey"
            )
            line = f"{os.fsdecode(remark.name)}: cannot be decoded ({remark.words}); {what}"
            tqdm.write("".join(char if char.isprintable() else "?" for char in line), file=sys.stderr)

    def _coloured(self, rows: Tensor, epoch: int, step: int, stream: str) -> Tensor:
        """Training images (B, size, size, 3) uint8 as `_normalised` gives them, their colours changed."""
        if not (self.colours.jitter or self.colours.lighting):
            return self._normalised(rows)
        assert self.seed is not None
        rng = generator(self.seed, stream, epoch, step)
        drawn = upload(draw_colours(rng, len(rows), self.colours.jitter, self.colours.lighting), self.device)
        flat = rows.view(len(rows), -1, 3).float()  # 0 to 255
        matrix, offset = colour_maps(drawn, flat.mean(dim=1) / 255)
        flat = recoloured(flat, matrix * self._scale[:, None], offset * 255 * self._scale + self._shift)
        return flat.view(rows.shape).permute(0, 3, 1, 2)

    def _normalised(self, rows: Tensor) -> Tensor:
        """(B, 3, size, size) float32 in channels_last memory from `rows` (B, size, size, 3) uint8."""
        floats = rows.float()
        torch.addcmul(self._shift, floats, self._scale, out=floats)
        return floats.permute(0, 3, 1, 2)


def _next_of_class(labels: np.ndarray) -> np.ndarray:
    """(N,) int64: of each image the next one of its class, after the last of them the first."""
    order = np.argsort(labels, kind="stable")
    following = np.roll(order, -1)
    last = np.flatnonzero(labels[order] != labels[following]) if len(order) else order
    begins = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    following[last] = order[begins]
    spare = np.empty_like(order)
    spare[order] = following
    return spare


def _names_in(notes: Path | None) -> set[str]:
    """The images that a notes file names already."""
    try:
        text = notes.read_text(encoding="utf-8", errors="surrogateescape") if notes else ""
    except OSError:
        return set()
    return {line.partition("\t")[0] for line in text.splitlines()}
