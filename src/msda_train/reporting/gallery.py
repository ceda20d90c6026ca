"""Mixed images that a run kept beside its row, with their label weights. The file may come from anywhere."""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from msda_train.reporting.template import render

NAME = "gallery.json"
LARGEST_FILE = 100_000  # bytes; the runner writes at most 60,000
LARGEST_SIDE = 256  # pixels: a small file can claim to be a huge picture
MOST_IMAGES, MOST_LABELS, LONGEST_NAME = 8, 4, 40
_SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


class Unreadable(Exception):
    """The file is not what a run writes; the message says why."""


@dataclass(frozen=True)
class Example:
    """One picture that the network was shown, and its target: (class, weight) pairs."""

    png: str  # base64
    side: tuple[int, int]  # width, height
    labels: tuple[tuple[str, float], ...]

    @property
    def words(self) -> str:
        """cat 0.62, dog 0.38."""
        return ", ".join(f"{name} {weight:.2f}" for name, weight in self.labels)

    @property
    def shown_width(self) -> int:
        """A whole multiple of the image's own width, near 96 pixels, so that all pixels are of one size."""
        return self.side[0] * max(1, math.floor(96 / max(self.side)))


@dataclass(frozen=True)
class Gallery:
    """The examples of a run, as `training.gallery` writes them; there are its fields explained."""

    examples: tuple[Example, ...]
    epoch: int
    step: int
    depth: int | None
    mixed: bool
    every: int


def read_gallery(row_path: Path) -> Gallery | str:
    """The gallery beside a row, or one sentence that says why there is none."""
    path = row_path.with_name(NAME)
    if row_path.name != "row.json" or not path.is_file():  # kept rows share a folder
        return "This row has no run folder with examples beside it."
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Unreadable(f"it is larger than {LARGEST_FILE:,} bytes")
        return _gallery(json.loads(path.read_text(encoding="utf-8")))
    except Unreadable as error:
        return f"{NAME} beside this row was skipped: {error}."
    except (OSError, ValueError, RecursionError):
        return f"{NAME} beside this row was skipped: it cannot be read as JSON."


def _gallery(raw: Any) -> Gallery:
    if not isinstance(raw, dict) or not isinstance(raw.get("images"), list) or not raw["images"]:
        raise Unreadable("it holds no images")
    depth = raw.get("depth")
    return Gallery(
        examples=tuple(_example(item) for item in raw["images"][:MOST_IMAGES]),
        epoch=_whole(raw, "epoch"),
        step=_whole(raw, "step"),
        depth=None if depth is None else _whole(raw, "depth"),
        mixed=raw.get("mixed") is True,
        every=_whole(raw, "every"),
    )


def _example(raw: Any) -> Example:
    if not isinstance(raw, dict) or not isinstance(raw.get("png"), str):
        raise Unreadable("an image is missing")
    try:
        png = base64.b64decode(raw["png"], validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("an image is not base64") from None
    if not png.startswith(_SIGNATURE) or len(png) < 33:
        raise Unreadable("an image is not a PNG")
    side = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    if not all(1 <= each <= LARGEST_SIDE for each in side):
        raise Unreadable(f"an image is {side[0]} x {side[1]} pixels")
    labels = raw.get("labels")
    if not isinstance(labels, list) or not 1 <= len(labels) <= MOST_LABELS:
        raise Unreadable("an image has no label weights")
    return Example(base64.b64encode(png).decode(), side, tuple(_label(item) for item in labels))


def _label(raw: Any) -> tuple[str, float]:
    if not isinstance(raw, list) or len(raw) != 2 or not isinstance(raw[0], str):
        raise Unreadable("a label is not a class and a weight")
    name, weight = raw
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise Unreadable("a label weight is not a number from 0 to 1")
    return name[:LONGEST_NAME], float(weight)


def _whole(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise Unreadable(f"'{name}' is not a whole number")
    return value


def show(gallery: Gallery) -> Markup:
    """The pictures in a row that wraps, each over its label; and where in training they were seen."""
    return render("gallery", examples=gallery.examples, said=_said(gallery))


def _said(gallery: Gallery) -> str:
    where = f"Epoch {gallery.epoch}, step {gallery.step}."
    if gallery.every > 1:
        where += f" One pixel of every {gallery.every} x {gallery.every} is shown."
    if gallery.mixed:
        return f"{where} Mixed at depth 0, the pixels."
    if gallery.depth is None:
        return f"{where} Nothing is mixed: these are the training images as the network saw them."
    return f"{where} Mixed at depth {gallery.depth}, in the network: the labels show it, the pixels do not."
