"""Crops of the images of a batch, cut out of images in a frame.

On a CPU NumPy copies the windows: a window of the rows of one padded image is `H` runs of `W*C` contiguous
bytes. On a GPU the padded images lie in its memory and the same indices, uploaded once per epoch, select the
same windows. Images that are yet to be drawn are drawn on the host when they are taken.
"""

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from msda_train.data.batches import WHOLE, upload
from msda_train.data.drawings import Drawings

# Flipping on the CPU, 50,000 images 32x32x3, one thread: selecting from a second, mirrored copy of the images
# runs at 1.0 M images/s, mirroring the chosen images of each batch at 0.37 M; with normalisation about 200 k
# against 110 k. So the copy is kept while it is small; TinyImageNet's 1.5 GB are not worth it.
MIRROR_BYTES = 1 << 30
PIECE = 1024  # images that are mirrored at once


class Windows:
    """The padded images of a split; `take` copies one window of each chosen image."""

    def __init__(
        self, images: np.ndarray | Drawings, *, padding: int, reflect: bool, device: torch.device
    ) -> None:
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


class HostWindows(Windows):
    """On a CPU: NumPy copies the windows."""

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
        """See `Windows`."""
        chosen = chosen.copy()
        if self.has_copy:  # a window of the mirrored copy at the opposite offset is the mirrored window
            chosen[0] += self.count * chosen[3]
            chosen[2] = np.where(chosen[3], 2 * self.padding - chosen[2], chosen[2])
        chosen[2] *= self.channels
        return chosen

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        """See `Windows`."""
        assert isinstance(chosen, np.ndarray)
        image, top, left, mirrored = chosen[:, batch]
        rows = self.windows[image, top, left]
        if not self.has_copy and mirrored.any():
            flipped = np.flatnonzero(mirrored)
            rows[flipped] = rows[flipped].take(self.mirror, axis=2)
        return torch.from_numpy(rows)


class DrawnWindows(Windows):
    """Of images that are drawn when they are taken, on the host."""

    def __init__(
        self, images: Drawings, *, padding: int, reflect: bool, flip: bool, device: torch.device
    ) -> None:
        super().__init__(images, padding=padding, reflect=reflect, device=device)
        self.images = images

    def draws(self, chosen: np.ndarray) -> np.ndarray:
        """See `Windows`."""
        return chosen

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        """See `Windows`."""
        assert isinstance(chosen, np.ndarray)
        return self.cut(np.asarray(self.images[chosen[0, batch]]), chosen[:, batch])

    def cut(self, pixels: np.ndarray, chosen: np.ndarray) -> Tensor:
        """The windows of `chosen` (4, B) in these B images, (B, H, W*C) uint8 on the device."""
        host = torch.device("cpu")
        whole = HostWindows(pixels, padding=self.padding, reflect=self.reflect, flip=False, device=host)
        places = np.concatenate([np.arange(len(pixels))[None], chosen[1:]])
        return upload(whole.take(whole.draws(places), WHOLE).numpy(), self.device)


class DeviceWindows(Windows):
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
        """See `Windows`."""
        chosen = chosen.copy()
        chosen[2] *= self.channels
        return upload(chosen, self.device)

    def take(self, chosen: np.ndarray | Tensor, batch: slice) -> Tensor:
        """See `Windows`."""
        assert isinstance(chosen, Tensor)
        image, top, left, mirrored = chosen[:, batch]
        rows = self.windows[image, top, left]
        if not self.flip:
            return rows
        return torch.where(mirrored.bool()[:, None, None], rows[:, :, self.columns], rows)


def _mirror(width: int, channels: int) -> np.ndarray:
    """Indices that mirror a row of `width` pixels of `channels` bytes."""
    return np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1).copy()
