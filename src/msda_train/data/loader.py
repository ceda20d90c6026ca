"""Batches of pictures: uint8 images stay where they are used, a whole batch is cropped, flipped and
normalised at once, and no image is touched by itself.

The draws of an epoch (order, crop offsets, flips) are made on the host, all at once, from (seed, epoch); what
they select is in `data/windows.py`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msda_train.core.errors import UserError
from msda_train.core.origin import Drawn, Origin
from msda_train.core.randomness import Rng, generator
from msda_train.data.batches import WHOLE, Batches, Draw, upload
from msda_train.data.drawings import Drawings
from msda_train.data.resized_crop import draw_boxes, resized
from msda_train.data.windows import DeviceWindows, DrawnWindows, HostWindows, Windows


class Loader(Batches):
    """Images and labels of one split, in batches x (B, C, H, W) float32 channels_last, y (B,) int64.

    images: (N, H, W, C) uint8, or Drawings; labels: (N,) integers; mean, std: one number per channel, of
    pixels in 0..1. With a `seed` it is a training loader; without one it serves `test_batches` only.
    """

    def __init__(
        self,
        images: np.ndarray | Drawings,
        labels: np.ndarray,
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str,
        crop_padding: int = 0,
        padding: str = "zeros",
        crop_scale: Sequence[float] | None = None,
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(len(images), labels, batch_size=batch_size, device=device, seed=seed)
        _, self.height, self.width, self.channels = images.shape
        self.crop_padding, self.flip = crop_padding, flip
        self.crop_scale, self.crop_ratio = crop_scale, crop_ratio
        self._check(mean, std)
        scale, shift = _scale_and_shift(mean, std, self.width)
        self._scale, self._shift = scale.to(self.device), shift.to(self.device)
        kind: Any = HostWindows if self.device.type == "cpu" else DeviceWindows
        if isinstance(images, Drawings):
            kind = DrawnWindows
        self._windows: Windows = kind(
            images,
            padding=crop_padding if seed is not None else 0,
            reflect=padding == "reflect",
            flip=flip and seed is not None,
            device=self.device,
        )

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        drawn, boxes = self._drawn(epoch), self._boxes(epoch)
        chosen, places = self._windows.draws(drawn), upload(drawn[0], self.device)
        for batch in self.train_slices():
            x = self._normalised(self._windows.take(chosen, batch))
            yield self._resized(x, boxes, batch), self._labels[places[batch]]

    def origins(self, epoch: int) -> Iterator[Origin]:
        """See `Batches`."""
        if self.crop_scale is not None:
            raise UserError(
                "recipe.crop_scale: this method remembers the training images, and has to know where the "
                "pixels of a crop lie in them; type recipe.crop_scale=null recipe.crop_padding=4"
            )
        drawn = self._drawn(epoch)
        chosen = drawn.copy()
        drawn[1:3] -= self.crop_padding
        places = upload(drawn, self.device)
        for batch in self.train_slices():
            image, down, right, mirrored = places[:, batch]
            yield Origin(image, down, right, mirrored, self._drawn_from(chosen[:, batch]))

    def _drawn_from(self, chosen: np.ndarray) -> Drawn | None:
        """What the images of these draws (4, B) were drawn from."""
        if not isinstance(self._windows, DrawnWindows):
            return None
        images, cut = self._windows.images, self._windows.cut

        def draw(factors: np.ndarray) -> Tensor:
            return self._normalised(cut(images.draw(factors), chosen))

        return Drawn(images.factors[chosen[0]], draw)

    def train_pairs(self, epoch: int, partners: Draw) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`; partners are cropped and mirrored by themselves."""
        drawn, rng = self._drawn(epoch), self.pairing(epoch)
        others = np.stack([partners(drawn[0], rng), *self._windows_drawn(rng)])
        boxes = self._boxes(epoch)
        both = [(self._windows.draws(d), upload(d[0], self.device)) for d in (drawn, others)]
        for batch in self.train_slices():
            rows = torch.cat([self._windows.take(chosen, batch) for chosen, _ in both])
            x = self._resized(self._normalised(rows), boxes, batch)
            yield x, self._labels[torch.cat([places[batch] for _, places in both])]

    def test_batches(self, turn: slice = WHOLE) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        centre = np.full(self.n, self._windows.padding)
        plain = self._windows.draws(np.stack([np.arange(self.n), centre, centre, np.zeros_like(centre)]))
        for batch in self.test_slices(turn):
            yield self._normalised(self._windows.take(plain, batch)), self._labels[batch]

    def _drawn(self, epoch: int) -> np.ndarray:
        """(4, N) int64 draws of an epoch: image, top and left of its window, mirrored."""
        order = self.order(epoch)
        assert self.seed is not None
        return np.stack([order, *self._windows_drawn(generator(self.seed, "augment", epoch))])

    def _windows_drawn(self, rng: Rng) -> tuple[np.ndarray, ...]:
        """(N,) each: top, left and mirrored of a window for every image of an epoch."""
        offsets = rng.integers(0, 2 * self.crop_padding + 1, size=(self.n, 2))
        mirrored = rng.integers(0, 2, size=self.n) if self.flip else np.zeros(self.n, dtype=np.int64)
        return *offsets.T, mirrored

    def _boxes(self, epoch: int) -> Tensor | None:
        """(4, 2, N) int64, where crops are resized: a box for every image and for its partner."""
        if self.crop_scale is None or self.seed is None:
            return None
        rng = generator(self.seed, "resized_crop", epoch)
        drawn = draw_boxes(rng, 2 * self.n, self.height, self.width, self.crop_scale, self.crop_ratio)
        return upload(drawn.reshape(4, 2, self.n), self.device)

    def _resized(self, x: Tensor, boxes: Tensor | None, batch: slice) -> Tensor:
        """x (B, C, H, W), or twice as many with their partners behind them."""
        return x if boxes is None else resized(x, boxes[:, :, batch].flatten(1)[:, : len(x)])

    def _normalised(self, rows: Tensor) -> Tensor:
        """(B, C, H, W) float32 in channels_last memory from `rows` (B, H, W*C) uint8."""
        # By whole rows, as here, three times as fast as by channel.
        floats = rows.float()
        x = torch.addcmul(self._shift, floats, self._scale, out=floats)
        return x.view(len(rows), self.height, self.width, self.channels).permute(0, 3, 1, 2)

    def _check(self, mean: Sequence[float], std: Sequence[float]) -> None:
        for key, value in (("mean", mean), ("std", std)):
            if len(value) != self.channels:
                raise UserError(
                    f"recipe.{key} has {len(value)} numbers, but the images have {self.channels} channel(s); "
                    f"give {self.channels}, or type dataset.{key}=auto"
                )
        if min(std) <= 0:
            raise UserError(f"recipe.std={list(std)}: give numbers above 0")
        widest = 2 * max(self.height, self.width)  # all images are kept with their frame
        if not 0 <= self.crop_padding <= widest:
            raise UserError(
                f"recipe.crop_padding={self.crop_padding}: give 0 or more pixels, at most {widest} here"
            )


def _scale_and_shift(mean: Sequence[float], std: Sequence[float], width: int) -> tuple[Tensor, Tensor]:
    """For one row, (W*C,) float32 each: (pixel / 255 - mean) / std = pixel * scale + shift."""
    centre, spread = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    rows = (np.tile(1 / (255 * spread), width), np.tile(-centre / spread, width))
    scale, shift = (torch.from_numpy(row.astype(np.float32)) for row in rows)
    return scale, shift
