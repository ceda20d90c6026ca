"""From the file of a picture to its pixels, one file at a time.

A picture is turned the way its EXIF orientation says, as every viewer shows it. What is transparent lies on
white. Of 16 bits of grey the upper eight count, as Pillow does it with 16 bits of colour; palettes and CMYK
become RGB as Pillow converts them.
"""

import math
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from msda_train.core.errors import UserError
from msda_train.core.machine import memory
from msda_train.data.resize import Size, fitted, sides

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WAY = 2  # in which a file becomes pixels; another way is another cache entry
BACKGROUND = (255, 255, 255)
GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
COPIES = 2  # of all pixels in memory: as decoded, and in canonical order
DRAFT = 4  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves so many times the size: 10 times as fast


def decode_all(named: Iterable[tuple[str, str | bytes]], n: int, size: Size | None = None) -> np.ndarray:
    """(n, H, W, 3 or 1) uint8 of `n` pairs of a name (for messages) and a path or a file's bytes, each
    brought to `size`; None: all have one. UserError names what cannot be read."""
    from PIL.Image import DecompressionBombError

    x: np.ndarray | None = None
    all_grey = True
    first = ""
    bad: list[tuple[str, str]] = []
    for k, (name, source) in enumerate(tqdm(named, total=n, desc="decode", unit="image", disable=None)):
        try:
            pixels, grey = _decode(source, size)
        except (OSError, SyntaxError, ValueError, EOFError, DecompressionBombError) as error:
            bad.append((name, str(error).splitlines()[0] if str(error) else type(error).__name__))
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
    from PIL import Image, ImageOps

    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
        if size is not None:
            side = DRAFT * max(sides(size))
            image.draft(None, (side, side))  # does nothing but for a JPEG that is larger
        plain = _plain(ImageOps.exif_transpose(image))
        return np.asarray(plain if size is None else fitted(plain, size)), image.mode in GREY


def _plain(image: "Picture") -> "Picture":
    """The same as RGB."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image).clip(0, 0xFFFF).astype(np.uint16)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        below = Image.new("RGBA", image.size, BACKGROUND)
        return Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
