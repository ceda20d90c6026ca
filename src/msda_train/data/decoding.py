"""One picture file to RGB pixels, in one of two ways. What is wrong with a file is `Unreadable`.

`as_shown`, people's own pictures: as every viewer shows them. Turned the way the EXIF orientation says; what
is transparent lies on white; of 16 bits of grey the upper eight count, as Pillow does it with 16 bits of
colour; palettes and CMYK become RGB as Pillow converts them.

`open_rgb`, large sets that are streamed: as torchvision's ImageFolder reads them, with what was odd about a
file. ImageNet as it is holds a few files that are not what their ending says (n02105855_2933.JPEG is a PNG),
some in CMYK, and some that a camera marked as turned.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING, Any

from msda_train.core.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WAY = 2  # in which `as_shown` makes pixels; another way is another cache entry
BACKGROUND = (255, 255, 255)
JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
TURNED = 0x0112  # EXIF's number for how the camera was held


class Unreadable(Exception):
    """Why a file is no picture, in a few words."""


@contextmanager
def opening(source: str | PathLike[str] | bytes) -> Iterator[Any]:
    """Pillow's image of the file at a path, or of a file's content. Raises Unreadable, also for what shows
    only while it is decoded inside."""
    from PIL import Image

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            yield image
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # No two runs would say the same of memory.
        raise Unreadable(re.sub(r" <_io\.BytesIO object at \w+>", " this file", reason)) from error


def as_shown(image: "Picture") -> "Picture":
    """RGB, as a viewer shows it."""
    import numpy as np
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        values = np.asarray(upright).clip(0, 0xFFFF).astype(np.uint16)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        below = Image.new("RGBA", upright.size, BACKGROUND)
        return Image.alpha_composite(below, upright.convert("RGBA")).convert("RGB")
    return upright.convert("RGB")


def open_rgb(name: str, content: bytes, *, upright: bool, least: int | None = None) -> tuple["Picture", str]:
    """The picture in `content`, RGB, and what was odd about it, in words; empty where nothing was.

    upright: whether it is turned the way its EXIF orientation says; least: decode a JPEG at a half, a quarter
    or an eighth of its size (libjpeg's own, fast) where both sides stay so many pixels. Raises Unreadable.
    """
    from PIL import ImageOps

    odd = []
    with opening(content) as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise Unreadable(f"more than 8 bits per pixel, mode {image.mode}")
        if (image.format == "JPEG") != name.lower().endswith(JPEG_ENDINGS):
            odd.append(f"a {image.format} in spite of its name")
        if image.mode not in ("RGB", "L", "1", "P", "RGBA", "LA"):
            odd.append(f"{image.mode}, converted to RGB")
        if least is not None:
            _draft(image, least)
        picture: Any = image
        if image.getexif().get(TURNED, 1) != 1:
            odd.append("turned by EXIF" if upright else "marked as turned by EXIF, left as it lies")
            picture = ImageOps.exif_transpose(image) if upright else image
        picture = picture.convert("RGBA") if "transparency" in picture.info else picture
        return picture.convert("RGB"), ", ".join(odd)


def _draft(image: Any, least: int) -> None:
    """JPEG's own smaller sizes; of other formats nothing happens."""
    for divisor in (8, 4, 2):
        small = tuple(-(-side // divisor) for side in image.size)
        if min(small) >= least:
            image.draft("RGB", small)
            return


def squeezed(name: str, content: bytes, side: int) -> tuple[Any, tuple[int, int]]:
    """(side, side, 3) uint8, and the (width, height) that it had. It is left as it lies, for boxes count from
    the corner of what is stored. UserError names the file."""
    import numpy as np
    from PIL import Image

    try:
        picture, _ = open_rgb(name, content, upright=False)
    except Unreadable as error:
        raise UserError(f"{name}: not a readable image ({error}); replace or delete it") from error
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)), picture.size
