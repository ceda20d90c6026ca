"""Do networks of Manifold Mixup's tasks A and B look at the digit, or at the corners that its turn uncovers?

`python scripts/slanted_corners.py RUNS` shows every finished run of `experiment=manifold_slanted_a` in the
folder RUNS the same digits three times: in their own corners, in those of an angle of the other or of the own
label, and without any. It writes results/tables/slanted_corners.md.

A square looks the same after a quarter turn, so the corners of -30..-10 degrees are those of 60..80, where
training images have the other label, and those of 10..30 are those of -80..-60.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw

from msda_train.core.randomness import generator
from msda_train.data.slanted_digits import ANGLES, CANVAS, HEIGHT, SIDE, draw_factors
from msda_train.evaluation.load_run import TrainedRun, load_run
from msda_train.records.rows import load_rows

OUT = Path(__file__).resolve().parents[1] / "results" / "tables" / "slanted_corners.md"
DIGITS = 1_000
HEAD = """# Digit or corners: accuracy of task A's networks, percent

`python scripts/slanted_corners.py RUNS`. {digits:,} digits at the test angles and as many at those of
training, half of them of each label; "corners" are what the turn leaves black.

"""


def framed(factors: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 1) uint8 of digits (n, 7), each in the corners of an angle of `frames` (n,)."""
    made = np.empty((len(factors), SIDE, SIDE, 1), np.uint8)
    opaque = Image.new("L", (CANVAS, CANVAS), 255)
    for image, (across, down, aside, lower, width, thick, angle), frame in zip(
        made, factors, frames, strict=True
    ):
        canvas = Image.new("RGBA", (CANVAS, CANVAS), "white")
        pen, corner = ImageDraw.Draw(canvas), (across + width, down + lower)
        pen.line([(across, down), corner], fill="red", width=int(thick))
        pen.line([corner, (corner[0] + aside, down + HEIGHT)], fill="red", width=int(thick))
        turned = canvas.rotate(angle, fillcolor="white")
        turned.putalpha(opaque.rotate(frame))
        image[..., 0] = np.asarray(turned.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("L"))
    return made


def shown() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By the heading of its column, images (n, 64, 64, 1) and labels (n,)."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for split, name in (("test", "test angles"), ("train", "training angles")):
        rng = generator(0, f"corners/{split}")
        factors, y = draw_factors(rng, DIGITS, "A", split, "free")
        label = y if split == "test" else 1 - y
        low, high = np.array(ANGLES["A"]["train"], float)[label].T
        words = "own label's training angles" if split == "test" else "other label's angles"
        frames = {"own": factors[:, 6], words: rng.uniform(low, high), "none": np.zeros(DIGITS)}
        found |= {f"{name}, corners: {key}": (framed(factors, each), y) for key, each in frames.items()}
    return found


def accuracy(run: TrainedRun, x: np.ndarray, y: np.ndarray) -> float:
    """Percent."""
    with torch.inference_mode():
        said = torch.cat([run.network(run.transform(part)).argmax(1) for part in np.split(x, 4)])
    return 100 * float((said.numpy() == y).mean())


def main(words: list[str]) -> None:
    """Asks every run, then writes the table."""
    torch.set_num_threads(1)
    rows, _ = load_rows([Path(words[0])])
    wanted = [row for row in rows if row.names["experiment"] == "manifold_slanted_a"]
    images, lines = shown(), []
    for row in sorted(
        wanted, key=lambda row: (row.config["dataset"]["digit"], row.names["method"], row.seed)
    ):
        run = load_run(row.path.parent)
        each = {key: f"{accuracy(run, x, y):.1f}" for key, (x, y) in images.items()}
        lines.append(
            {"method": row.names["method"], "digit": row.config["dataset"]["digit"], "seed": row.seed, **each}
        )
    table = pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)
    OUT.write_text(f"{HEAD.format(digits=DIGITS)}{table}\n", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
