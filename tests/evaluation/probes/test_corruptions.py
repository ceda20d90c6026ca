"""CIFAR-C on small files of the true layout: in the archive, unpacked, damaged, and of another set."""

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from msda_train.core.errors import UserError
from msda_train.data import cifar_c
from msda_train.data.cifar_c import EXTRA, SETS, STANDARD
from msda_train.data.download import Remote
from msda_train.data.images import Images
from msda_train.evaluation.probes.corruptions import Corruptions

N = 7
NAMES = (*STANDARD, *EXTRA)


class Brightest(nn.Module):
    """Guesses by the mean of each channel of normalised images: red 0, green 1, blue 2."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


@pytest.fixture
def arrays():
    """What the archive holds, by the names of its members: random images, labels that repeat."""
    rng = np.random.default_rng(0)
    made = {name: rng.integers(0, 256, (5 * N, 32, 32, 3), dtype=np.uint8) for name in NAMES}
    for name in NAMES:  # corruptions differ in how well they can be told
        made[name][np.arange(5 * N), :, :, rng.integers(0, 3, 5 * N)] |= 0xE0
    return made | {"labels": np.tile(rng.integers(0, 3, N), 5).astype(np.uint8)}


@pytest.fixture
def archive(arrays, tmp_path, monkeypatch):
    """The folder with CIFAR-10-C.tar, which the suite then knows by its own checksum."""
    folder = tmp_path / "archive"
    folder.mkdir()
    path = folder / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            member = tarfile.TarInfo(f"CIFAR-10-C/{name}.npy")
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    remote = Remote(path.name, urls=(), md5=hashlib.md5(path.read_bytes()).hexdigest())
    small = replace(SETS["cifar10"], remote=remote, n_test=N, classes=3)
    monkeypatch.setattr(cifar_c, "SETS", {"cifar10": small})
    monkeypatch.setattr("msda_train.evaluation.probes.corruptions.SETS", cifar_c.SETS)
    return folder


@pytest.fixture
def subject(toy_subject):
    x, y = np.zeros((3, 32, 32, 3), np.uint8), np.arange(3)
    images = Images(x, y, x, y, ("a", "b", "c"), "cifar10", "c0ffee", False)
    scaling = {"mean": [0.5, 0.4, 0.6], "std": [0.2, 0.3, 0.25]}
    return toy_subject(Brightest(), images=images, **scaling)


def _slow(arrays, name, severity, count=N):
    mean, std = np.array([0.5, 0.4, 0.6]), np.array([0.2, 0.3, 0.25])
    wrong = 0
    for k in range(count):
        place = N * severity + k
        guess = ((arrays[name][place] / 255 - mean) / std).mean(axis=(0, 1)).argmax()
        wrong += guess != arrays["labels"][place]
    return wrong / count


@pytest.mark.parametrize("images", [None, 4])
def test_every_number_is_that_of_a_slow_loop(archive, arrays, subject, images):
    found = Corruptions(root=str(archive), images=images)(subject)
    slow = np.array([[_slow(arrays, name, s, images or N) for s in range(5)] for name in NAMES])
    assert len({tuple(row) for row in slow}) > 10
    np.testing.assert_allclose(found.arrays["errors"], slow)
    numbers = found.numbers
    assert numbers["standard/error"] == pytest.approx(slow[:15].mean())
    assert numbers["all/error"] == pytest.approx(slow.mean())
    assert numbers["severity_3/error"] == pytest.approx(slow[:15, 2].mean())
    assert [numbers[f"{name}/error"] for name in NAMES] == pytest.approx(slow.mean(axis=1).tolist())
    assert len(numbers) == 2 + 5 + 19 == len(found.records)
    assert len(found.remarks) == (images is not None)


def test_the_standard_ones_are_fifteen():
    assert (len(set(STANDARD)), len(set(NAMES))) == (15, 19)
    assert set(EXTRA) == {"gaussian_blur", "saturate", "spatter", "speckle_noise"}


@pytest.mark.parametrize("below", ["", "CIFAR-10-C"])
def test_unpacked_files_will_do(archive, arrays, subject, tmp_path, below):
    folder = tmp_path / "unpacked" / below
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    found = Corruptions(root=str(tmp_path / "unpacked"))(subject)
    assert found.numbers == Corruptions(root=str(archive))(subject).numbers


def _spoil(archive, how):
    path = archive / "CIFAR-10-C.tar"
    if how == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        return
    with tarfile.open(path) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        tar.extractall(archive / "out")
    path.unlink()
    folder = archive / "out" / "CIFAR-10-C"
    folder.rename(archive / "CIFAR-10-C")
    fog = archive / "CIFAR-10-C" / "fog.npy"
    if how == "missing":
        fog.unlink()
    elif how == "cut":
        fog.write_bytes(fog.read_bytes()[:-5])
    elif how == "objects":
        np.save(fog, np.array([{}] * 3, dtype=object), allow_pickle=True)
    else:
        np.save(fog, np.zeros((5 * N, 32, 32), np.uint8))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("changed", "is not the official file"),
        ("missing", "fog.npy: cannot be read .FileNotFoundError"),
        ("cut", "fog.npy: cannot be read .ValueError"),
        ("objects", "no plain array of numbers"),
        ("shape", r"fog.npy holds uint8 \(35, 32, 32\); it is not CIFAR-10-C's"),
    ],
)
def test_damaged_files_are_one_line(archive, subject, how, message):
    _spoil(archive, how)
    with pytest.raises(UserError, match=message):
        Corruptions(root=str(archive))(subject)


def test_no_archive_and_no_address(archive, subject, tmp_path):
    with pytest.raises(
        UserError, match=r"cannot download CIFAR-10-C\.tar.*type probes\.corruptions\.root=FOLDER"
    ):
        Corruptions(root=str(tmp_path / "empty"))(subject)


def test_whom_it_says_nothing_of(archive, subject, toy_subject):
    probe = Corruptions(root=str(archive))
    with pytest.raises(UserError, match="needs a run on cifar10"):
        probe(toy_subject())
    held = replace(subject.images, holdout=0.1)
    with pytest.raises(UserError, match=r"dataset.holdout must not see"):
        probe(replace(subject, images=held))
    two = replace(subject.images, classes=("a", "b"))
    with pytest.raises(UserError, match="CIFAR-10-C has 3 classes, and the run has 2"):
        probe(replace(subject, images=two))
    with pytest.raises(UserError, match=r"probes\.corruptions\.images=0"):
        Corruptions(images=0)


def test_the_official_archives():
    """Zenodo's own checksums."""
    found = {
        known.remote.filename: (known.remote.md5, known.classes, known.n_test) for known in SETS.values()
    }
    assert found == {
        "CIFAR-10-C.tar": ("56bf5dcef84df0e2308c6dcbcbbd8499", 10, 10_000),
        "CIFAR-100-C.tar": ("11f0ed0f1191edbf9fa23466ae6021d3", 100, 10_000),
    }
