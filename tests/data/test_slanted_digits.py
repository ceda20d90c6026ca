"""Slanted digits: drawn as the authors' code draws, from the factors that the paper says."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.drawings import Drawings
from msda_train.data.loader import Loader
from msda_train.data.slanted_digits import draw, draw_factors

FEW = ("dataset.train_images=60", "dataset.test_images=30")


def _named(*words):
    return build("dataset", compose("dataset=slanted_digits", *words).dataset)


def _factors(n=4000, task="A", split="train", digit="free"):
    return draw_factors(generator(1, "any"), n, task, split, digit)


def _in_red(row):
    """One image in four channels, red on white with an opacity, step by step as the paper's code has it."""
    across, down, aside, lower, width, thickness, angle = row
    canvas = Image.new("RGBA", (256, 256), (255, 255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    x, y = across + width, down + lower
    pen.line([(across, down), (x, y)], fill="red", width=int(thickness))
    pen.line([(x, y), (x + aside, down + 200)], fill="red", width=int(thickness))
    small = canvas.rotate(angle)
    small.thumbnail((64, 64), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.asarray(small.convert("L"))


def test_two_planes_are_the_four_channels_of_the_authors():
    rows, _ = _factors(120)
    rows[0, 6] = 0
    faint = [69, 21, -19, -8, 86, 30, 54]  # a pixel beside the corner without opacity that is not black
    rows = np.concatenate([rows, np.trunc(rows), [faint]])
    assert draw(rows[-1:])[0, 11, 6] == 3
    assert np.array_equal(draw(rows)[..., 0], np.stack([_in_red(row) for row in rows]))


@pytest.mark.parametrize("angle", [-70, -30, 0, 12.5, 60])
def test_the_stroke_lies_where_the_turn_by_hand_puts_it(angle):
    """The middle of the long stroke, turned counter-clockwise about the canvas's middle, is dark; the same
    place a stroke's width aside is white."""
    row = np.array([[100.0, 28, 0, 0, 0, 21, angle]])
    image = draw(row)[0, ..., 0]
    turn = math.radians(angle)

    def seen(x, y):
        x, y = x - 128, y - 128
        right, down = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        return image[round((down + 128) / 4 - 0.5), round((right + 128) / 4 - 0.5)]

    for along in (50, 128, 200):
        assert seen(100, along) < 90
        assert seen(140, along) == 255
    corner = image[0, 0]
    assert corner == (0 if angle % 90 else 255)


@pytest.mark.parametrize(
    ("task", "split", "negative", "positive"),
    [
        ("A", "train", (-70, -50), (50, 80)),
        ("B", "train", (-70, -50), (50, 80)),
        ("A", "test", (-30, -10), (10, 30)),
        ("B", "test", (-30, -20), (-10, 30)),
    ],
)
def test_the_angle_says_the_label(task, split, negative, positive):
    factors, y = _factors(task=task, split=split)
    assert abs(y.mean() - 0.5) < 0.03
    for label, (low, high) in enumerate((negative, positive)):
        angles = factors[y == label, 6]
        assert low <= angles.min() < low + 1
        assert high - 1 < angles.max() < high
        assert np.median(angles) == pytest.approx((low + high) / 2, abs=0.1 * (high - low))


def test_task_c_asks_for_the_digit_at_any_angle():
    factors, y = _factors(task="C", digit="label")
    steep = factors[:, 6] > 0
    assert steep.mean() == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(steep, y)[0, 1] == pytest.approx(0, abs=0.05)
    assert factors[~steep, 6].max() <= -50
    assert factors[steep, 6].min() >= 50
    tested, _ = _factors(task="C", split="test", digit="label")
    assert np.histogram(tested[:, 6], bins=6, range=(-30, 30))[0] == pytest.approx(np.full(6, 667), abs=90)


@pytest.mark.parametrize("digit", ["free", "label"])
def test_widths(digit):
    factors, y = _factors(digit=digit)
    width = factors[:, 4]
    seven = width >= 40
    assert ((width >= 0) & (width <= 20) | (seven & (width <= 100))).all()
    assert abs(seven.mean() - 0.5) < 0.03
    together = np.corrcoef(seven, y)[0, 1]
    assert together == pytest.approx(1 if digit == "label" else 0, abs=0.05)


def test_other_factors_are_uniform():
    factors, _ = _factors(20_000)
    for k, (low, high) in enumerate([(30, 150), (20, 50), (-30, 5), (-10, 10)]):
        assert np.quantile(factors[:, k], [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
            np.linspace(low, high, 5), abs=0.02 * (high - low)
        )
    assert np.unique(factors[:, 5]).tolist() == list(range(15, 36))


def test_each_seed_draws_its_own_or_one_that_is_named():
    data = _named(*FEW)
    first, again, other = data.examples(3), data.examples(3), data.examples(4)
    assert np.array_equal(first.x_train.factors, again.x_train.factors)
    assert np.array_equal(first.y_test, again.y_test)
    assert not np.array_equal(first.x_train.factors, other.x_train.factors)
    assert not np.isin(first.x_test.factors[:, 0], first.x_train.factors[:, 0]).any()
    assert data.split_of(3) == 3
    fixed = _named(*FEW, "dataset.draw_seed=4")
    assert fixed.split_of(3) is None
    assert np.array_equal(fixed.examples(3).x_train.factors, other.x_train.factors)
    assert first.shape == (1, 64, 64)
    assert not first.complete
    assert first.content == other.content


def test_content_tells_distributions_apart_and_a_pen_that_draws_otherwise(monkeypatch):
    words = [
        (),
        ("task=B",),
        ("task=C", "digit=label"),
        ("digit=label",),
        ("test_images=9",),
        ("draw_seed=1",),
    ]
    found = [_named(*(f"dataset.{word}" for word in each)).content for each in words]
    assert len(set(found)) == len(words)
    monkeypatch.setattr("msda_train.data.slanted_digits.HEIGHT", 190)
    assert _named().content != found[0]


def test_the_official_numbers():
    whole = _named().prepare()
    assert (whole.n_train, whole.n_test, whole.complete) == (128_000, 2_560, True)
    assert whole.classes == ("negative", "positive")
    assert _named("dataset.task=C", "dataset.digit=label").prepare().classes == ("1", "7")


def test_subset_and_holdout_keep_factors_and_labels_together():
    chosen = _named(*FEW, "dataset.subset=20", "dataset.holdout=0.2").examples(2)
    assert len(chosen.x_train) == 20
    for x, y in ((chosen.x_train, chosen.y_train), (chosen.x_test, chosen.y_test)):
        assert np.array_equal(x.factors[:, 6] > 0, y == 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset.task=D"], "dataset.task=D: unknown"),
        (["dataset.task=C"], "dataset.task=C: its labels are the digits; type dataset.digit=label, too"),
        (["dataset.digit=both"], "dataset.digit=both: unknown"),
        (["dataset.train_images=1"], "dataset.train_images=1: must be a whole number, at least 2"),
        (["dataset.test_images=0"], "dataset.test_images=0: must be a whole number, at least 1"),
        (["dataset.draw_seed=-1"], "dataset.draw_seed=-1: must be a whole number"),
        (["+dataset.size=32"], "dataset.size=32: these are drawn with 64 pixels a side; leave it out"),
        (["dataset.root=x"], "dataset.root=x: slanted_digits comes along"),
    ],
)
def test_bad_options(words, line):
    with pytest.raises(UserError) as caught:
        _named(*words).examples(0)
    assert line in str(caught.value)
    assert not _named(*words).prepared()


def test_an_array_that_is_drawn_where_somebody_looks():
    rows = np.arange(12.0).reshape(6, 2)
    looked = []

    def mark(factors):
        looked.append(len(factors))
        return factors.sum(axis=1).astype(np.uint8)[:, None, None, None]

    x = Drawings(rows, mark, (1, 1, 1))
    assert x.shape == (6, 1, 1, 1)
    part = x[[4, 1]]
    assert looked == []
    assert np.asarray(part).ravel().tolist() == [17, 5]
    assert x[2].ravel().tolist() == [9]
    assert [int(image.item()) for image in x] == [1, 5, 9, 13, 17, 21]
    assert np.array(x[1:3], dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_a_loader_that_draws_gives_the_bits_of_one_that_has_pixels(padding, flip):
    factors, y = _factors(20)
    x = Drawings(factors, draw, (64, 64, 1))
    options = {"batch_size": 8, "mean": [0.4], "std": [0.2], "device": "cpu", "seed": 5}
    options |= {"crop_padding": padding, "flip": flip}
    one, other = Loader(x, y, **options), Loader(np.asarray(x), y, **options)
    for (a, labels), (b, same), origin in zip(
        one.train_batches(1), other.train_batches(1), one.origins(1), strict=True
    ):
        assert torch.equal(a, b)
        assert torch.equal(labels, same)
        assert np.array_equal(origin.drawn.factors, factors[origin.image.numpy()])
        assert torch.equal(origin.drawn.draw(origin.drawn.factors), a)
    for (a, _), (b, _) in zip(one.test_batches(), other.test_batches(), strict=True):
        assert torch.equal(a, b)
    assert next(iter(other.origins(1))).drawn is None
