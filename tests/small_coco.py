"""A copy of MS-COCO's captions in the official layout, of a few pictures of one colour each."""

import json
from pathlib import Path

from PIL import Image

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


def write(root: Path, train: int = 6, val: int = 3) -> Path:
    """Pictures of COLOURS in turn, of unequal sides; of each two captions that name its colour."""
    (root / "annotations").mkdir(parents=True)
    for part, count in (("train", train), ("val", val)):
        (root / f"{part}2014").mkdir()
        images, told = [], []
        for k in range(count):
            colour = list(COLOURS)[k % len(COLOURS)]
            number = 100 - k  # in the file's order, not that of the numbers
            name = f"COCO_{part}2014_{number:012d}.{'png' if k % 2 else 'jpg'}"
            Image.new("RGB", (40, 20 + k), COLOURS[colour]).save(root / f"{part}2014" / name)
            images.append({"id": number, "file_name": name})
            told.append((number, f"A {colour} picture."))
            told.append((number, f"a picture all {colour}"))
        annotations = [
            {"id": k, "image_id": image, "caption": caption} for k, (image, caption) in enumerate(told)
        ]
        file = root / "annotations" / f"captions_{part}2014.json"
        file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return root
