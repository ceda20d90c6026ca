"""The official readers on small files in the official formats."""

import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from msda_train.core.errors import UserError
from msda_train.data import svhn
from msda_train.data.cifar import Cifar10, Cifar100
from msda_train.data.digits import Digits
from msda_train.data.download import Remote
from msda_train.data.svhn import Svhn
from msda_train.data.tinyimagenet import TinyImageNet


def test_cifar10(tmp_path: Path, draw: Callable, write_cifar10: Callable) -> None:
    train, test = draw(50, 20, 10, (32, 32, 3))
    write_cifar10(tmp_path, train, test)
    arrays = Cifar10("cifar10", "download").read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train, train[0])
    np.testing.assert_array_equal(arrays.y_train, train[1])
    np.testing.assert_array_equal(arrays.x_test, test[0])
    assert arrays.classes[3] == "name3"


def test_cifar100_takes_the_fine_labels(tmp_path: Path, draw: Callable, write_cifar100: Callable) -> None:
    train, test = draw(200, 100, 100, (32, 32, 3))
    write_cifar100(tmp_path, train, test)
    arrays = Cifar100("cifar100", "download").read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train, train[0])
    np.testing.assert_array_equal(arrays.y_test, test[1])
    assert len(arrays.classes) == 100


def test_cifar_also_reads_pickles_of_this_python(
    tmp_path: Path, draw: Callable, write_cifar10: Callable
) -> None:
    train, test = draw(50, 20, 10, (32, 32, 3))
    planes = np.ascontiguousarray(test[0].transpose(0, 3, 1, 2)).reshape(20, -1)
    again = pickle.dumps({b"data": planes, b"labels": test[1].tolist()}, protocol=2)
    write_cifar10(tmp_path, train, test, {"cifar-10-batches-py/test_batch": again})
    arrays = Cifar10("cifar10", "download").read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_test, test[0])


class _Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("/tmp/msda-train-was-here"),))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (pickle.dumps(_Evil()), "test_batch: it asks for pathlib"),
        (pickle.dumps([1]), "test_batch holds no dictionary"),
        (b"\x80\x02garbage", "test_batch: "),
        (pickle.dumps({b"labels": [1]}), "unexpected content"),
    ],
)
def test_cifar_reads_no_other_pickle(
    tmp_path: Path, draw: Callable, write_cifar10: Callable, raw: bytes, message: str
) -> None:
    train, test = draw(50, 20, 10, (32, 32, 3))
    write_cifar10(tmp_path, train, test, {"cifar-10-batches-py/test_batch": raw})
    with pytest.raises(UserError, match=message):
        Cifar10("cifar10", "download").read_official(tmp_path)
    assert not Path("/tmp/msda-train-was-here").exists()


def test_cifar_cut_or_foreign_archive(tmp_path: Path, draw: Callable, write_cifar10: Callable) -> None:
    path = write_cifar10(tmp_path, *draw(50, 20, 10, (32, 32, 3)))
    raw = path.read_bytes()
    for bad in (raw[: len(raw) // 2], b"<html>"):
        path.write_bytes(bad)
        with pytest.raises(UserError, match="delete it and type the command again"):
            Cifar10("cifar10", "download").read_official(tmp_path)
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(raw)
    with pytest.raises(UserError, match="no cifar-100-python/train in it"):
        Cifar100("cifar100", "download").read_official(tmp_path)


def _write_svhn(folder: Path, **splits: tuple[np.ndarray, np.ndarray]) -> None:
    for name, (x, y) in splits.items():
        label = np.where(y == 0, 10, y).astype(np.uint8)[:, None]
        savemat(folder / f"{name}_32x32.mat", {"X": x.transpose(1, 2, 3, 0), "y": label})


def test_svhn(tmp_path: Path, draw: Callable) -> None:
    train, test = draw(40, 20, 10, (32, 32, 3))
    _write_svhn(tmp_path, train=train, test=test, extra=test)  # that one lies there and is not asked for
    official = Svhn("svhn", "download")
    arrays = official.read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train, train[0])
    np.testing.assert_array_equal(arrays.y_test, test[1])
    (tmp_path / "test_32x32.mat").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"test_32x32.mat: not an SVHN file .* delete it"):
        official.read_official(tmp_path)


def test_svhn_with_its_extra_images(tmp_path: Path, draw: Callable) -> None:
    """Joined behind the others, in rows that lie together, so that nobody copies them to hash them."""
    train, test = draw(40, 20, 10, (32, 32, 3))
    extra = draw(60, 20, 10, (32, 32, 3))[0]
    _write_svhn(tmp_path, train=train, test=test, extra=extra)
    arrays = Svhn("svhn", "download", extra=True).read_official(tmp_path)
    np.testing.assert_array_equal(arrays.x_train, np.concatenate([train[0], extra[0]]))
    np.testing.assert_array_equal(arrays.y_train, np.concatenate([train[1], extra[1]]))
    np.testing.assert_array_equal(arrays.x_test, test[0])
    assert arrays.x_train.flags.c_contiguous
    (tmp_path / "extra_32x32.mat").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"extra_32x32.mat: not an SVHN file .* delete it"):
        Svhn("svhn", "download", extra=True).read_official(tmp_path)


def test_svhn_and_its_extra_images_are_two_sets(
    tmp_path: Path, draw: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is prepared for itself, and says what it takes and how to type it."""
    train, test = draw(40, 20, 10, (32, 32, 3))
    plain, extra = (Svhn("svhn", "download", str(tmp_path), extra=more) for more in (False, True))
    assert [path.name for path in plain.files()] == ["train_32x32.mat", "test_32x32.mat"]
    assert [path.name for path in extra.files()] == [*(p.name for p in plain.files()), "extra_32x32.mat"]
    assert (plain.n_train, extra.n_train) == (73_257, 604_388)
    assert extra.command("prepare").endswith(f"dataset.root={tmp_path} dataset.extra=true")
    assert plain.command("prepare").endswith(f"dataset.root={tmp_path}")
    assert plain == Svhn("svhn", "download", str(tmp_path)) != extra

    monkeypatch.setattr(svhn, "EXTRA", Remote("extra_32x32.mat", urls=()))  # small files have other checksums
    monkeypatch.setattr(Svhn, "remotes", tuple(Remote(remote.filename, urls=()) for remote in plain.remotes))
    _write_svhn(tmp_path, train=train, test=test, extra=draw(60, 20, 10, (32, 32, 3))[0])
    both = [Svhn("svhn", "download", str(tmp_path), extra=more) for more in (False, True)]
    assert both[0].prepare().n_train == 40
    assert [dataset.prepared() for dataset in both] == [True, False]
    found = both[1].prepare()
    assert (found.n_train, found.n_test, found.complete) == (100, 20, False)
    np.testing.assert_array_equal(np.bincount(found.y_train), [10] * 10)
    assert both[0].prepare().n_train == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"extra": True, "source": "npz", "root": "a.npz"},
            "dataset.extra=true: is of dataset.source=download",
        ),
        ({"extra": 1}, "dataset.extra=1: must be true or false"),
    ],
)
def test_svhn_refuses(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Svhn("svhn", **{"source": "download"} | options)


def test_tinyimagenet_zip_and_unpacked(tmp_path: Path, draw: Callable, write_tiny: Callable) -> None:
    train, test = draw(12, 6, 3, (64, 64, 3))
    path = write_tiny(tmp_path, train, test)
    tiny = TinyImageNet("tinyimagenet", "download", str(tmp_path))
    zipped = tiny.read_official(tmp_path)
    assert zipped.classes == ("n0", "n1", "n2")
    assert zipped.x_train.shape == (12, 64, 64, 3)
    np.testing.assert_array_equal(np.bincount(zipped.y_train), [4, 4, 4])
    np.testing.assert_array_equal(zipped.y_test, test[1])
    by_checksum = tiny.official_facts(tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    path.unlink()
    images = tiny.examples()  # no download: the folder is taken
    np.testing.assert_array_equal(images.x_test.sum(), zipped.x_test.sum(dtype=np.int64))
    assert not images.complete
    assert tiny.official_facts(tmp_path) != by_checksum
    grey = [image for image in images.x_train if (image[..., 0] == image[..., 1]).all()]
    assert len(grey) == 1


def test_tinyimagenet_damaged(tmp_path: Path, draw: Callable, write_tiny: Callable) -> None:
    path = write_tiny(tmp_path, *draw(12, 6, 3, (64, 64, 3)))
    raw = path.read_bytes()
    tiny = TinyImageNet("tinyimagenet", "download", str(tmp_path))
    path.write_bytes(raw[:-200])
    with pytest.raises(UserError, match="damaged or not the official layout"):
        tiny.read_official(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("else.txt", "")
    with pytest.raises(UserError, match="damaged or not the official layout"):
        tiny.read_official(tmp_path)


def test_digits_are_real_balanced_and_known() -> None:
    digits = Digits("digits", "embedded")
    images = digits.examples()
    assert images.complete
    assert (images.n_train, images.n_test) == (1437, 360)
    assert images.x_train.max() == 255
    np.testing.assert_array_equal(np.bincount(images.y_test), [36] * 10)
    assert digits.verify().official
    with pytest.raises(UserError, match=r"dataset.source=npz: unknown for digits; choose from: embedded"):
        Digits("digits", "npz").examples()


def test_a_cifar_archive_of_links_is_damaged(tmp_path: Path, draw: Callable, write_cifar10: Callable) -> None:
    path = write_cifar10(tmp_path, *draw(50, 20, 10, (32, 32, 3)))
    with tarfile.open(path, "w:gz") as archive:
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "elsewhere")):
            link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
            link.type, link.linkname = kind, target
            archive.addfile(link)
    with pytest.raises(UserError, match="no cifar-10-batches-py/data_batch_1 in it"):
        Cifar10("cifar10", "download").read_official(tmp_path)


def test_tinyimagenet_tells_what_it_leaves_out(
    tmp_path: Path, draw: Callable, write_tiny: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    """Endings in lower case are images, too; one without an annotation has no label."""
    path = write_tiny(tmp_path, *draw(9, 6, 3))
    with zipfile.ZipFile(path, "a") as archive:
        names = archive.namelist()
        pixels = archive.read(next(name for name in names if name.endswith(".JPEG")))
        archive.writestr("tiny-imagenet-200/train/n0/images/more.jpeg", pixels)
        archive.writestr("tiny-imagenet-200/val/images/unknown.JPEG", pixels)
    arrays = TinyImageNet("tinyimagenet", "download").read_official(tmp_path)
    assert len(arrays.x_train) == 10
    assert "1 images have no place in the layout or no annotation" in capsys.readouterr().err
