"""All pictures of a set, decoded into one array."""

import math
from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.core.machine import memory
from msda_train.data.decoding import Unreadable, as_shown, opening
from msda_train.data.resize import Size, fitted, sides

GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
COPIES = 2  # of all pixels in memory: as decoded, and in canonical order
DRAFT = 4  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves so many times the size: 10 times as fast


def decode_all(named: Iterable[tuple[str, str | bytes]], n: int, size: Size | None = None) -> np.ndarray:
    """(n, H, W, 3 or 1) uint8 of `n` pairs of a name (for messages) and a path or a file's bytes, each
    brought to `size`; None: all have one. UserError names what cannot be read."""
    x: np.ndarray | None = None
    all_grey = True
    first = ""
    bad: list[tuple[str, str]] = []
    for k, (name, source) in enumerate(tqdm(named, total=n, desc="decode", unit="image", disable=None)):
        try:
            pixels, grey = _decode(source, size)
        except Unreadable as error:
            bad.append((name, str(error)))
            continue
        if x is None:
            x, first = _room(n, pixels.shape), name
        if pixels.shape != x.shape[1:]:
            raise UserError(
                f"{name}: {_wide_high(pixels.shape)} pixels, but {first} has {_wide_high(x.shape[1:])}; "
                f"type dataset.size=64 to bring all to one size, here 64x64"
            )
        x[k] = pixels
        all_grey = all_grey and grey
    if bad:
        raise _unreadable(bad)
    assert x is not None
    return x[..., :1] if all_grey else x  # grey came out as three equal channels


def _room(n: int, shape: tuple[int, ...]) -> np.ndarray:
    """For n pictures of (H, W, 3). UserError where they are more than the memory."""
    size = COPIES * n * math.prod(shape)
    if size > (here := memory()):
        raise UserError(
            f"{n:,} images of {_wide_high(shape)} pixels need {size / 2**30:,.0f} GiB to be decoded, "
            f"this machine has {here / 2**30:,.0f}; type a smaller dataset.size"
        )
    return np.empty((n, *shape), dtype=np.uint8)


def _wide_high(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _unreadable(bad: list[tuple[str, str]]) -> UserError:
    """All of them in one line, the first few by name."""
    name, reason = bad[0]
    others = [other for other, _ in bad[1:]]
    more = f", and {len(others)} more are none: {', '.join(others[:5])}" if others else ""
    more += ", ..." if others[5:] else ""
    return UserError(
        f"{name}: not a readable image ({reason}){more}; replace or delete {'them' if others else 'it'}"
    )


def _decode(source: str | bytes, size: Size | None) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8 of one image, and whether it is grey."""
    with opening(source) as image:
        if size is not None:
            side = DRAFT * max(sides(size))
            image.draft(None, (side, side))  # does nothing but for a JPEG that is larger
        plain = as_shown(image)
        return np.asarray(plain if size is None else fitted(plain, size)), image.mode in GREY
