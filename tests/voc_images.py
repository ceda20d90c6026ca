"""A small Pascal VOC in its true layout: squares of two colours on noise."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

KINDS = (("bus", (255, 0, 0)), ("cat", (0, 0, 255)))
OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox>"
    "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def make_voc(root: Path, *, train: int = 3, newer: int = 1, test: int = 2, side: int = 100) -> Path:
    """`train` images of 2007's trainval, `newer` of 2012's, `test` of 2007's test, of about `side` pixels;
    each shows one square and, of every third image, a difficult one in a corner."""
    rng = np.random.default_rng(0)
    for year, name, count, first in (
        ("2007", "trainval", train, 1),
        ("2012", "trainval", newer, 1),
        ("2007", "test", test, 500),
    ):
        write(root / "VOCdevkit" / f"VOC{year}", name, [f"{first + k:06d}" for k in range(count)], side, rng)
    return root


def write(folder: Path, name: str, words: list[str], side: int, rng: np.random.Generator) -> None:
    """The list `name` of the images `words`, with images and annotations."""
    for part in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for k, word in enumerate(words):
        width, height = side + int(rng.integers(20)), side
        image = Image.fromarray(rng.integers(100, 156, (height, width, 3), dtype=np.uint8))
        kind, colour = KINDS[k % 2]
        size = int(rng.integers(side // 3, side // 2))
        left, top = int(rng.integers(0, width - size)), int(rng.integers(0, height - size))
        ImageDraw.Draw(image).rectangle((left, top, left + size - 1, top + size - 1), fill=colour)
        things = OBJECT.format(kind, 0, left + 1, top + 1, left + size, top + size)
        things += OBJECT.format("dog", 1, 1, 1, 10, 10) if k % 3 == 0 else ""
        image.save(folder / "JPEGImages" / f"{word}.jpg", quality=95)
        (folder / "Annotations" / f"{word}.xml").write_text(f"<annotation>{things}</annotation>")
    (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{word}\n" for word in words))
