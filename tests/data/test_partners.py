"""Partners from all training images, against slow searches."""

import numpy as np
import pytest
import torch

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.core.mix import Among
from msda_train.data import partners
from msda_train.data.array_loader import ArrayLoader
from msda_train.data.examples import Examples
from msda_train.data.images import Images
from msda_train.data.loader import Loader
from msda_train.data.partners import nearest_images, partners_of

CPU = torch.device("cpu")


def images(n=40, classes=4, y=None, side=5, levels=256):
    rng = np.random.default_rng(7)
    x = rng.integers(0, levels, (n, side, side, 3), dtype=np.uint8)
    y = rng.permutation(np.arange(n) % classes) if y is None else np.asarray(y)
    names = tuple(f"c{k}" for k in range(classes))
    return Images(x, y, x[:4], y[:4], names, name="made", content="0", complete=False)


def slow(x, y, k):
    flat = x.reshape(len(x), -1).astype(int)
    table = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i and (y is None or y[i] == y[j])]
        table.append(sorted(others, key=lambda j: (((flat[i] - flat[j]) ** 2).sum(), j))[:k])
    return np.array(table)


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path)


@pytest.mark.parametrize("levels", [2, 256])  # of two grey values many distances are equal
@pytest.mark.parametrize("same_class", [False, True])
def test_the_nearest_are_those_of_a_slow_search_whatever_the_pieces(monkeypatch, levels, same_class):
    made = images(levels=levels)
    x, y = made.x_train, made.y_train if same_class else None
    for rows, columns in ((1024, 4096), (7, 3), (40, 11)):
        monkeypatch.setattr(partners, "ROWS", rows)
        monkeypatch.setattr(partners, "COLUMNS", columns)
        assert np.array_equal(nearest_images(x, y, 6, CPU), slow(x, y, 6))


@pytest.mark.parametrize(("classes", "nearest"), [("same", None), ("other", None), ("all", 5), ("same", 5)])
def test_every_allowed_image_is_drawn_and_no_other(classes, nearest):
    made = images()
    y, draw = made.y_train, partners_of(made, Among(classes, nearest), CPU)
    rng, everybody = np.random.default_rng(0), np.arange(len(y))
    seen = [set() for _ in everybody]
    for _ in range(400):
        order = rng.permutation(everybody)
        for i, j in zip(order, draw(order, rng), strict=True):
            seen[i].add(int(j))
    near = slow(made.x_train, y if classes == "same" else None, nearest) if nearest else None
    for i in everybody:
        allowed = {
            j for j in everybody if j != i and (classes == "all" or (y[i] == y[j]) == (classes == "same"))
        }
        assert seen[i] == (set(near[i].tolist()) if near is not None else allowed)


def test_real_numbers_are_standardised():
    """A column of large numbers does not decide alone; the order is that of the standardised rows."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4)) * np.array([1, 1e4, 1e-3, 1]) + np.array([0, 1e5, 0, 3])
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    table = nearest_images(x, None, 5, CPU)
    for i in range(60):
        off = ((scaled - scaled[i]) ** 2).sum(axis=1) ** 0.5
        assert off[table[i]].max() <= np.sort(off)[5] + 0.03  # rounded to hundredths


def test_rows_of_a_table_are_followed_by_their_partners():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 4
    made = Examples(x, y, x[:4], y[:4], ("a", "b", "c", "d"), name="rows", content="0", complete=False)
    loader = ArrayLoader(x, y, batch_size=8, device="cpu", seed=1)
    draw = partners_of(made, Among("same"), CPU)
    for (x, y), (both, labels) in zip(loader.train_batches(3), loader.train_pairs(3, draw), strict=True):
        assert torch.equal(both[: len(x)], x)
        assert torch.equal(labels, torch.cat([y, y]))
        numbers = (both[:, 0] / 2).long()
        assert torch.equal(numbers % 4, labels)
        assert not (numbers[: len(x)] == numbers[len(x) :]).any()


def test_the_search_is_done_once_and_again_where_its_file_is_damaged(tmp_path, monkeypatch):
    made, calls = images(), []
    monkeypatch.setattr(partners, "nearest_images", lambda *given: calls.append(1) or nearest_images(*given))
    first = partners._kept(made.x_train, None, 3, CPU)
    assert np.array_equal(partners._kept(made.x_train, None, 3, CPU), first)
    assert len(calls) == 1
    (file,) = (tmp_path / "neighbours").iterdir()
    whole = file.read_bytes()
    for spoilt in (whole[:-40], whole[:200] + b"\xff" + whole[201:], b""):
        file.write_bytes(spoilt)
        assert np.array_equal(partners._kept(made.x_train, None, 3, CPU), first)
        assert file.read_bytes() == whole
    assert len(calls) == 4
    other = made.x_train.copy()
    other[0, 0, 0, 0] ^= 1
    for given in ((other, None, 3), (made.x_train, made.y_train, 3), (made.x_train, None, 4)):
        partners._kept(*given, CPU)
    assert len(calls) == 7


def test_a_disk_that_takes_nothing_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "neighbours").write_text("a file where the folder belongs")
    made = images()
    assert np.array_equal(partners._kept(made.x_train, None, 3, CPU), slow(made.x_train, None, 3))


@pytest.mark.parametrize(
    ("among", "y", "says"),
    [
        (Among("all", 40), None, r"method\.neighbours=40: .* 39 others in the training set; .*=39 or less"),
        (Among("same", 10), None, r"method\.neighbours=10: .* 9 others in the smallest class"),
        (Among("same"), [0] * 39 + [1], r"method\.pairing=same_class: class 'c1' has one training image"),
        (Among("other"), [2] * 40, r"method\.pairing=other_class: all training images are of one class"),
    ],
)
def test_too_few_to_draw_from(among, y, says):
    with pytest.raises(UserError, match=says):
        partners_of(images(y=y), among, CPU)


@pytest.mark.parametrize("flip", [False, True])
def test_the_batches_are_the_same_and_the_partners_follow_them(flip):
    made = images(n=21)
    common = {"mean": [0.4] * 3, "std": [0.2] * 3, "device": "cpu", "crop_padding": 2, "flip": flip}
    loader = Loader(made.x_train, made.y_train, batch_size=8, seed=3, **common)
    draw = partners_of(made, Among("same"), CPU)
    plain, pairs = list(loader.train_batches(2)), list(loader.train_pairs(2, draw))
    assert [len(x) for x, _ in pairs] == [2 * len(x) for x, _ in plain] == [16, 16, 10]
    frame = np.pad(made.x_train, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for (x, y), (both, labels) in zip(plain, pairs, strict=True):
        half = len(x)
        assert torch.equal(both[:half], x)
        assert torch.equal(labels[:half], y)
        assert torch.equal(labels[half:], y)  # of the same class
        shown = ((both[half:] * 0.2 + 0.4) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        for picture, label in zip(shown, labels[half:], strict=True):
            assert _is_a_crop(picture, frame[made.y_train == int(label)], flip)
    again = list(loader.train_pairs(2, draw))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(pairs, again, strict=True))
    other = list(loader.train_pairs(3, draw))
    assert not torch.equal(other[0][0], pairs[0][0])


def _is_a_crop(picture, frames, flip):
    sides = [picture, picture[:, ::-1]] if flip else [picture]
    return any(
        np.array_equal(side, frame[top : top + 5, left : left + 5])
        for side in sides
        for frame in frames
        for top in range(5)
        for left in range(5)
    )
