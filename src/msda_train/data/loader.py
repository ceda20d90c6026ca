"""Batches of pictures: uint8 images stay where they are used, a whole batch is cropped, flipped and
normalised at once, and no image is touched by itself.

The draws of an epoch (order, crop offsets, flips) are made on the host, all at once, from (seed, epoch). On a
CPU NumPy copies the windows: a window of the rows of one padded image is `H` runs of `W*C` contiguous bytes.
On a GPU the padded images lie in its memory and the same indices, uploaded once per epoch, select the same
windows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from msda_train.core.errors import UserError
from msda_train.core.mix import Origin
from msda_train.core.randomness import Rng, generator
from msda_train.data.batches import Batches, Draw, upload
from msda_train.data.resized_crop import draw_boxes, resized

# Flipping on the CPU, 50,000 images 32x32x3, one thread: selecting from a second, mirrored copy of the images
# runs at 1.0 M images/s, mirroring the chosen images of each batch at 0.37 M; with normalisation about 200 k
# against 110 k. So the copy is kept while it is small; TinyImageNet's 1.5 GB are not worth it.
MIRROR_BYTES = 1 << 30
PIECE = 1024  # images that are mirrored at once


class Loader(Batches):
    """Images and labels of one split, in batches x (B, C, H, W) float32 channels_last, y (B,) int64.

    images: (N, H, W, C) uint8; labels: (N,) integers; mean, std: one number per channel, of pixels in 0..1.
    With a `seed` it is a training loader; without one it serves `test_batches` only.
    """

    def __init__(
        self,
        images: np.ndarray,
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
        self._windows: _Windows = (_HostWindows if self.device.type == "cpu" else _DeviceWindows)(
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
        drawn[1:3] -= self.crop_padding
        places = upload(drawn, self.device)
        for batch in self.train_slices():
            yield Origin(*places[:, batch])

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

    def test_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        centre = np.full(self.n, self._windows.padding)
        plain = self._windows.draws(np.stack([np.arange(self.n), centre, centre, np.zeros_like(centre)]))
        for batch in self.test_slices():
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


class _Windows:
    """The padded images of a split; `take` copies one window of each chosen image."""

    def __init__(self, images: np.ndarray, *, padding: int, reflect: bool, device: torch.device) -> None:
        _, self.height, self.width, self.channels = images.shape
        self.padding, self.reflect, self.device = padding, reflect, device
        self.mirror = _mirror(self.width, self.channels)

    def padded(self, images: np.ndarray, *, copies: int = 1) -> np.ndarray:
        """(copies*N, H+2p, (W+2p)*C) uint8: the images in a black frame, or one that reflects them without
        the outermost pixel (NumPy's and torchvision's `reflect`); the second copy is mirrored."""
        n, p, span = len(images), self.padding, self.width * self.channels
        plain = images.reshape(n, self.height, span)
        if p == 0 and copies == 1:
            return np.ascontiguousarray(plain)
        rows = np.zeros((copies * n, self.height + 2 * p, span + 2 * p * self.channels), dtype=np.uint8)
        inside = rows[:, p : p + self.height, p * self.channels : p * self.channels + span]
        inside[:n] = plain
        for k in range(0, n if copies == 2 else 0, PIECE):  # no second copy of everything on the way
            piece = slice(k, min(k + PIECE, n))
            inside[n + piece.start : n + piece.stop] = plain[piece].take(self.mirror, axis=2)
        for k in range(0, len(rows) if self.reflect else 0, PIECE):
            some = inside[k : k + PIECE].reshape(-1, self.height, self.width, self.channels)
            framed = np.pad(some, ((0, 0), (p, p), (p, p), (0, 0)), mode="reflect")
            rows[k : k + PIECE] = framed.reshape(len(some), *rows.shape[1:])
        return rows

    def draws(self, chosen: np.ndarray) -> np.ndarray | Tensor:
        """The (4, N) draws of an epoch (image, top, left, mirrored) in the form that `take` indexes with."""
        raise NotImplementedError

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        """(B, H, W*C) uint8."""
        raise NotImplementedError


class _HostWindows(_Windows):
    def __init__(
        self, images: np.ndarray, *, padding: int, reflect: bool, flip: bool, device: torch.device
    ) -> None:
        super().__init__(images, padding=padding, reflect=reflect, device=device)
        self.count = len(images)
        frame = (self.height + 2 * padding) * (self.width + 2 * padding) * self.channels
        self.has_copy = flip and self.count * frame <= MIRROR_BYTES
        self.rows = self.padded(images, copies=2 if self.has_copy else 1)
        shape = (self.height, self.width * self.channels)
        # (N, 2p+1, 2p*C+1, H, W*C), no copy
        self.windows = sliding_window_view(self.rows, shape, axis=(1, 2))

    def draws(self, chosen: np.ndarray) -> np.ndarray:
        chosen = chosen.copy()
        if self.has_copy:  # a window of the mirrored copy at the opposite offset is the mirrored window
            chosen[0] += self.count * chosen[3]
            chosen[2] = np.where(chosen[3], 2 * self.padding - chosen[2], chosen[2])
        chosen[2] *= self.channels
        return chosen

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        assert isinstance(chosen, np.ndarray)
        image, top, left, mirrored = chosen[:, batch]
        rows = self.windows[image, top, left]
        if not self.has_copy and mirrored.any():
            flipped = np.flatnonzero(mirrored)
            rows[flipped] = rows[flipped].take(self.mirror, axis=2)
        return torch.from_numpy(rows)


class _DeviceWindows(_Windows):
    """Tensor code without a single value coming back to the host."""

    def __init__(
        self, images: np.ndarray, *, padding: int, reflect: bool, flip: bool, device: torch.device
    ) -> None:
        super().__init__(images, padding=padding, reflect=reflect, device=device)
        host = self.padded(images)
        rows = torch.from_numpy(host if host.flags.writeable else host.copy()).to(device)
        n, high, wide = rows.shape
        span = self.width * self.channels
        shape = (n, high - self.height + 1, wide - span + 1, self.height, span)
        self.windows = rows.as_strided(shape, (high * wide, wide, 1, wide, 1))
        self.columns = torch.from_numpy(self.mirror).to(device)
        self.flip = flip

    def draws(self, chosen: np.ndarray) -> Tensor:
        chosen = chosen.copy()
        chosen[2] *= self.channels
        return upload(chosen, self.device)

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        assert isinstance(chosen, Tensor)
        image, top, left, mirrored = chosen[:, batch]
        rows = self.windows[image, top, left]
        if not self.flip:
            return rows
        return torch.where(mirrored.bool()[:, None, None], rows[:, :, self.columns], rows)


def _mirror(width: int, channels: int) -> np.ndarray:
    """Indices that mirror a row of `width` pixels of `channels` bytes."""
    return np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1).copy()


def _scale_and_shift(mean: Sequence[float], std: Sequence[float], width: int) -> tuple[Tensor, Tensor]:
    """For one row, (W*C,) float32 each: (pixel / 255 - mean) / std = pixel * scale + shift."""
    centre, spread = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    rows = (np.tile(1 / (255 * spread), width), np.tile(-centre / spread, width))
    scale, shift = (torch.from_numpy(row.astype(np.float32)) for row in rows)
    return scale, shift
