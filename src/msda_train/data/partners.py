"""Partners from all training examples: of the same class, of other classes, or near in pixel space.

Which images are near is a fact of the images alone, so it is found once, kept on the disk under a name made
of them, and the same on every device: squared distances of whole numbers are whole numbers, which float64
holds exactly, and of equally near images the earlier one comes first. Pixels count as they are stored,
neither normalised nor cropped. Examples of real numbers are standardised, number by number, and count in
hundredths of a deviation, up to ten deviations. Of CIFAR's 50,000 images the search takes about five minutes
of one CPU core (measured on 12,000: 17 s; it grows with the square).
"""

import hashlib
import zipfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.core.mix import Among
from msda_train.core.randomness import Rng
from msda_train.data.array_loader import find_scaling
from msda_train.data.batches import Draw
from msda_train.data.examples import Examples

ROWS, COLUMNS = 1024, 4096  # images whose distances are found at once: 32 MB, and 100 MB of CIFAR's pixels


def partners_of(images: Examples, among: Among, device: torch.device) -> Draw:
    """What draws a partner, never the image itself. Raises UserError where there are too few to draw from."""
    y = np.asarray(images.y_train)
    if among.nearest is None:
        return _of_class(images, y, among.classes)
    most = int(np.bincount(y)[np.unique(y)].min()) - 1 if among.classes == "same" else len(y) - 1
    if among.nearest > most:
        where = "the smallest class" if among.classes == "same" else "the training set"
        raise UserError(
            f"method.neighbours={among.nearest}: an image has {most} others in {where}; type "
            f"method.neighbours={most} or less"
        )
    table = _kept(np.asarray(images.x_train), y if among.classes == "same" else None, among.nearest, device)
    return lambda image, rng: table[image, rng.integers(0, table.shape[1], len(image))].astype(np.int64)


def _of_class(images: Examples, y: np.ndarray, classes: str) -> Draw:
    """Any other image of the same class, or any of the other classes: all are as likely."""
    counts: np.ndarray = np.bincount(y, minlength=images.n_classes)
    here = np.flatnonzero(counts)
    if classes == "same" and counts[here].min() < 2:
        lone = images.classes[int(here[counts[here].argmin()])]
        raise UserError(f"method.pairing=same_class: class {lone!r} has one training image, so no partner")
    if classes == "other" and len(here) < 2:
        raise UserError("method.pairing=other_class: all training images are of one class")
    order = np.argsort(y, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    begin: np.ndarray = np.cumsum(counts) - counts

    def draw(image: np.ndarray, rng: Rng) -> np.ndarray:
        first, count = begin[y[image]], counts[y[image]]
        if classes == "same":  # all of the class but itself
            drawn = first + rng.integers(0, count - 1)
            drawn = drawn + (drawn >= place[image])
        else:  # all but its class
            drawn = rng.integers(0, len(order) - count)
            drawn = drawn + np.where(drawn >= first, count, 0)
        partner: np.ndarray = order[drawn]
        return partner

    return draw


def nearest_images(x: np.ndarray, y: np.ndarray | None, k: int, device: torch.device) -> np.ndarray:
    """(N, k) int32: for each example of x (N, ...) the numbers of the k others at the least Euclidean
    distance, the nearest first; given y (N,), of its own class only."""
    if x.dtype.kind == "f":
        centre, spread = find_scaling(x, "standardise") or (0.0, 1.0)
        x = np.round(100 * ((x - centre) / spread).clip(-10, 10))
    flat = torch.from_numpy(np.array(x).reshape(len(x), -1))
    labels = None if y is None else torch.from_numpy(np.array(y)).to(device)
    squares = torch.cat([_wide(part, device).square().sum(dim=1) for part in flat.split(COLUMNS)])
    found = []
    starts = range(0, len(x), ROWS)
    for start in tqdm(starts, desc="nearest images", unit="piece", disable=None):
        mine = torch.arange(start, min(start + ROWS, len(x)), device=device)
        rows = _wide(flat[start : start + ROWS], device)
        best = torch.empty(len(mine), 0, dtype=torch.float64, device=device)
        for low in range(0, len(x), COLUMNS):
            theirs = torch.arange(low, min(low + COLUMNS, len(x)), device=device)
            products = rows @ _wide(flat[low : low + COLUMNS], device).T
            distance = squares[mine][:, None] + squares[theirs] - 2 * products
            key = distance * len(x) + theirs  # whole and below 2^53; no two are equal
            out = mine[:, None] == theirs
            if labels is not None:
                out |= labels[mine][:, None] != labels[theirs]
            best = torch.cat([best, key.masked_fill_(out, float("inf"))], dim=1)
            best = best.topk(min(k, best.shape[1]), largest=False).values
        found.append((best % len(x)).int().cpu())
    return torch.cat(found).numpy()


def _wide(part: Tensor, device: torch.device) -> Tensor:
    return part.to(device).double()


def _kept(x: np.ndarray, y: np.ndarray | None, k: int, device: torch.device) -> np.ndarray:
    """`nearest_images`, from the disk where it was found before. A damaged file is found again; a disk that
    takes none costs the search next time, no more."""
    digest = hashlib.blake2b(repr((x.shape, k)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(x).data)
    digest.update(b"" if y is None else np.ascontiguousarray(y).data)
    path = paths.DATA / "neighbours" / f"{digest.hexdigest()}.npz"
    found = _read(path, (len(x), k))
    if found is None:
        found = nearest_images(x, y, k, device)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(content := BytesIO(), nearest=found)
            replace_file(path, content.getvalue())
    return found


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """An .npz has a checksum of each array, which is compared here."""
    try:
        with open(path, "rb") as file:
            found: np.ndarray = np.load(file, allow_pickle=False)["nearest"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    sound = found.shape == shape and found.dtype == np.int32 and 0 <= found.min() <= found.max() < shape[0]
    return found if sound else None
