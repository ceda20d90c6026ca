"""Slanted strokes of a 1 or a 7, drawn from seven numbers: the synthetic data of Manifold Mixup's Table 8.

arXiv:1806.05236, Appendix A: "each image is deterministically rendered from a set of independent factors".
Ranges and drawing as in vikasverma1077/manifold_mixup supervised/synth_data_exp.py: two lines on a white
canvas of 256 pixels a side, turned, made smaller (bicubic, as Pillow's thumbnail did until 2019) and grey.
What the turn uncovers is black. The file holds task C. That in A and B either label had both digits
(`digit=free`) is our reading of the paper, which describes their angles alone; a comment in the file may mean
that the label said the digit there, too (`digit=label`).
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng, generator
from msda_train.data.dataset import Dataset
from msda_train.data.drawings import Drawings
from msda_train.data.examples import Arrays, Examples, Verdict

CANVAS, SIDE, HEIGHT = 256, 64, 200  # pixels: of the canvas, of the image made of it, of the long stroke
TRAIN = ((-70, -50), (50, 80))
# Degrees, counter-clockwise. Tasks A and B: of label 0 and of label 1; C: either, with a coin of its own.
ANGLES = {
    "A": {"train": TRAIN, "test": ((-30, -10), (10, 30))},
    "B": {"train": TRAIN, "test": ((-30, -20), (-10, 30))},
    "C": {"train": TRAIN, "test": ((-30, 30), (-30, 30))},
}
WIDTHS = ((0, 20), (40, 100))  # of the short stroke: of a 1, of a 7
TRIED = 16  # drawings that are part of the content: another Pillow may draw otherwise
_CLEAR = Image.new("L", (CANVAS, CANVAS), 255)


@dataclass(frozen=True)
class SlantedDigits(Dataset):
    """task: A or B, whose labels are the sign of the angle, or C, whose labels are the digit; test angles are
    others than those of training. digit: `free`, a coin of its own, or `label`. draw_seed: null: each seed of
    a run draws its own images."""

    task: str = "A"
    digit: str = "free"
    train_images: int = 128_000
    test_images: int = 2_560
    draw_seed: int | None = None

    shape: ClassVar = (SIDE, SIDE, 1)
    n_classes: ClassVar = 2
    n_train: ClassVar = 128_000
    n_test: ClassVar = 2_560
    sources: ClassVar = ("embedded",)
    comes: ClassVar = "is drawn by each run"

    def split_of(self, seed: int) -> int | None:
        """See `Dataset`."""
        return seed if self.draw_seed is None else None

    def prepare(self, *, rebuild: bool = False) -> Examples:
        """Those of seed 0, or of `draw_seed`; nothing is kept, and nothing drawn before it is looked at."""
        self._check()
        return self._drawn(0)

    def select(self, whole: Examples, seed: int = 0) -> Examples:
        """See `Dataset`; the images are those of the seed."""
        return super().select(self._drawn(seed), seed)

    @property
    def verified(self) -> str:
        """See `Dataset`."""
        return "the first images are drawn as this content says"

    def verify(self) -> Verdict:
        """There is nothing that could be damaged."""
        return Verdict(self.prepare(), True, None)

    def prepared(self) -> bool:
        """Whether the options are sound: there is nothing to prepare."""
        try:
            self._check()
            return True
        except UserError:
            return False

    @property
    def content(self) -> str:
        """32 hex digits of the distribution, and of how a few of its images are drawn here."""
        facts = [self.task, self.digit, self.train_images, self.test_images, self.draw_seed]
        factors, _ = draw_factors(generator(0, "tried"), TRIED, self.task, "train", self.digit)
        return hashlib.sha256(json.dumps(facts).encode() + draw(factors).tobytes()).hexdigest()[:32]

    def _check(self) -> None:
        super()._check()
        checks.one_of("dataset.task", self.task, tuple(ANGLES))
        checks.one_of("dataset.digit", self.digit, ("free", "label"))
        if self.task == "C" and self.digit == "free":
            raise UserError("dataset.task=C: its labels are the digits; type dataset.digit=label, too")
        checks.whole("dataset.train_images", self.train_images, least=2)
        checks.whole("dataset.test_images", self.test_images, least=1)
        if self.draw_seed is not None:
            checks.whole("dataset.draw_seed", self.draw_seed, least=0)
        if self.size is not None:
            raise UserError(
                f"dataset.size={self.size}: these are drawn with {SIDE} pixels a side; leave it out"
            )

    def _drawn(self, seed: int) -> Examples:
        def split(name: str, n: int) -> tuple[Any, np.ndarray]:
            rng = generator(seed if self.draw_seed is None else self.draw_seed, f"draw/{name}")
            factors, labels = draw_factors(rng, n, self.task, name, self.digit)
            return Drawings(factors, draw, self.shape), labels

        train, test = split("train", self.train_images), split("test", self.test_images)
        names = ("1", "7") if self.task == "C" else ("negative", "positive")
        return self._named(Arrays(*train, *test, names), self.content)


def draw_factors(rng: Rng, n: int, task: str, split: str, digit: str) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, 7) float64 and labels (n,) int64 of `split`, train or test, as the fields of
    `SlantedDigits` say. Factors: place of the first point (across, down; pixels of the canvas), how far the
    long stroke ends aside, how far the short one ends down, its width, the lines' thickness (whole), and the
    angle."""
    label, other = rng.integers(0, 2, (2, n))
    seven = label if digit == "label" else other
    side = other if task == "C" else label
    widths, angles = (np.array(spans, np.float64) for spans in (WIDTHS, ANGLES[task][split]))
    factors = [
        rng.uniform(30, 150, n),
        rng.uniform(20, 50, n),
        rng.uniform(-30, 5, n),
        rng.uniform(-10, 10, n),
        rng.uniform(*widths[seven].T),
        rng.integers(15, 36, n),
        rng.uniform(*angles[side].T),
    ]
    return np.stack(factors, axis=1), label


def draw(factors: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 1) uint8 of factors (n, 7).

    The authors draw in red and white with opacity and make that grey. There are but three colours, so it is
    done with two planes of one byte, the green and the opacity: the same bytes, in two thirds of the time."""
    made = np.empty((len(factors), SIDE, SIDE, 1), np.uint8)
    for image, (across, down, aside, lower, width, thickness, angle) in zip(made, factors, strict=True):
        corner = (across + width, down + lower)
        canvas = _CLEAR.copy()
        pen = ImageDraw.Draw(canvas)
        pen.line([(across, down), corner], fill=0, width=int(thickness))
        pen.line([corner, (corner[0] + aside, down + HEIGHT)], fill=0, width=int(thickness))
        image[..., 0] = _grey(_small(canvas, angle), _small(_CLEAR, angle))
    return made


def _small(plane: Image.Image, angle: float) -> np.ndarray:
    """A plane, turned and made smaller: (64, 64) of 0 to 255."""
    return np.asarray(plane.rotate(angle).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int64)


def _grey(green: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """What Pillow makes of the planes: it divides colours by the opacity, where there is any, and weighs them
    by luma in 16 bits. Blue is as green; red, where there is opacity, 255."""
    green = np.where(opacity == 0, green, np.minimum(255 * green // np.maximum(opacity, 1), 255))
    luma: np.ndarray = (255 * 19_595 * (opacity > 0) + green * (38_470 + 7_471) + 0x8000) >> 16
    return luma
