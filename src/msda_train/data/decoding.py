"""One picture file to RGB pixels, with what was odd about it. Nothing here raises but `Unreadable`.

ImageNet as it is holds a few files that are not what their ending says (n02105855_2933.JPEG is a PNG), some
in CMYK, and some that a camera marked as turned.
"""

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

from msda_train.core.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
TURNED = 0x0112  # EXIF's number for how the camera was held


class Unreadable(Exception):
    """Why a file is no picture, in a few words."""


def open_rgb(name: str, content: bytes, *, upright: bool, least: int | None = None) -> tuple["Picture", str]:
    """The picture in `content`, RGB, and what was odd about it, in words; empty where nothing was.

    upright: whether it is turned the way its EXIF orientation says; least: decode a JPEG at a half, a quarter
    or an eighth of its size (libjpeg's own, fast) where both sides stay so many pixels. Raises Unreadable.
    """
    from PIL import Image, ImageOps

    odd = []
    try:
        with Image.open(BytesIO(content)) as image:
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
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = re.sub(
            r" <_io\.BytesIO object at \w+>", " this file", reason
        )  # no two runs would say the same
        raise Unreadable(reason) from error


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
