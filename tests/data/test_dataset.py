"""The verbs of a data set, its cache, its subsets, and what it says when something is wrong."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from msda_train.core.errors import UserError
from msda_train.data import npz, store
from msda_train.data.cifar import Cifar10
from msda_train.data.dataset import Dataset


@pytest.fixture
def root(draw: Callable, write_npz: Callable) -> str:
    return str(write_npz(*draw()))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really decoded."""
    seen: list[Path] = []
    read = npz.read_npz

    def spy(path: Path, **more: object) -> object:
        seen.append(path)
        return read(path, **more)

    monkeypatch.setattr(npz, "read_npz", spy)
    return seen


def _own(root: str, **more: object) -> Dataset:
    return Dataset("own", "npz", root, **more)


def _arrays(data_folder: Path, key: str = "x_train") -> Path:
    (path,) = (data_folder / "arrays").glob(f"*.{key}.npy")
    return path


def test_second_open_does_not_decode_and_maps_read_only(root: str, decoded: list[Path]) -> None:
    first, second = _own(root).examples(), _own(root).examples()
    assert len(decoded) == 1
    assert isinstance(second.x_train, np.memmap)
    assert not second.x_train.flags.writeable
    np.testing.assert_array_equal(first.x_train, second.x_train)
    assert _own(root).prepared()


def test_a_changed_source_is_decoded_again(
    root: str, decoded: list[Path], draw: Callable, write_npz: Callable
) -> None:
    before = _own(root).examples().content
    os.utime(root, ns=(1, 1))
    assert not _own(root).prepared()
    assert _own(root).examples().content == before
    train, test = draw()
    write_npz((train[0] ^ 1, train[1]), test)
    assert _own(root).examples().content != before
    assert len(decoded) == 3


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty"])
@pytest.mark.parametrize("key", ["x_train", "y_test"])
def test_damaged_arrays(root: str, data_folder: Path, harm: str, key: str) -> None:
    good = _own(root).examples()
    path = _arrays(data_folder, key)
    raw = bytearray(path.read_bytes())
    if harm == "flip":
        raw[-3] ^= 1
    path.unlink()
    path.write_bytes({"truncate": raw[:-1], "flip": raw, "empty": b""}[harm])
    with pytest.raises(
        UserError, match=rf"^cache {path} is damaged; type: msda-data prepare own .*--rebuild$"
    ) as e:
        _own(root).examples()
    assert f"dataset.source=npz dataset.root={root}" in str(e.value)
    assert _own(root).prepare(rebuild=True).content == good.content
    np.testing.assert_array_equal(_own(root).examples().x_train, good.x_train)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entry": {}, "crc32": 0}'])
def test_corrupt_index(root: str, data_folder: Path, text: str) -> None:
    _own(root).examples()
    (path,) = (data_folder / "arrays" / "index").iterdir()
    path.write_text(text)
    with pytest.raises(UserError, match=f"cache {path} is damaged; type: "):
        _own(root).examples()
    assert not _own(root).prepared()
    _own(root).prepare(rebuild=True)
    whole = json.loads(path.read_text())
    whole["entry"]["classes"][0] = "changed"
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="is damaged"):
        _own(root).examples()


def test_missing_arrays_are_no_damage(root: str, data_folder: Path, decoded: list[Path]) -> None:
    _own(root).examples()
    _arrays(data_folder).unlink()
    _own(root).examples()
    assert len(decoded) == 2


def test_interrupted_write_leaves_nothing(
    root: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = np.save, []

    def interrupted(file: object, array: np.ndarray, **more: object) -> None:
        calls.append(array)
        if len(calls) == 3:
            file.write(b"half")  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        save(file, array, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(store.np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _own(root).examples()
    assert not _own(root).prepared()
    assert len(list((data_folder / "arrays").glob("*.npy"))) == 2
    assert not list((data_folder / "arrays").glob(".*"))
    monkeypatch.undo()
    monkeypatch.setattr("msda_train.core.paths.DATA", data_folder)
    _own(root).examples()
    assert _own(root).verify().intact


def test_stale_temporary_files_are_swept(root: str, data_folder: Path) -> None:
    folder = data_folder / "arrays"
    folder.mkdir(parents=True)
    for name, when in ((".a.npy.1.tmp", 1), (".b.npy.2.tmp", None)):
        (folder / name).write_bytes(b"half")
        if when:
            os.utime(folder / name, (when, when))
    _own(root).examples()
    assert [path.name for path in folder.glob(".*.tmp")] == [".b.npy.2.tmp"]


def test_two_writers_at_once(root: str) -> None:
    contents: list[str] = []
    threads = [
        threading.Thread(target=lambda: contents.append(_own(root).prepare(rebuild=True).content))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents) == 4
    assert len(set(contents)) == 1
    assert _own(root).verify().intact


def test_unwritable_cache(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"^dataset.cache: cannot write in .*; type dataset.cache=FOLDER"):
        _own(root, cache=str(tmp_path / "file" / "cache")).examples()


def test_verify(root: str, data_folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"own is not prepared; type: msda-data prepare own dataset.source=npz"
    ):
        _own(root).verify()
    _own(root).examples()
    verdict = _own(root).verify()
    assert verdict.intact
    assert verdict.official is None
    few = Cifar10("cifar10", "npz", root, empty_classes=True)
    few.examples()
    assert few.verify().official is False


def test_balanced_subsets(root: str) -> None:
    images = _own(root, subset=11, test_subset=4).examples()
    assert sorted(np.bincount(images.y_train)) == [3, 4, 4]
    assert sorted(np.bincount(images.y_test)) == [1, 1, 2]
    same, other = _own(root, subset=11).examples(), _own(root, subset=11, subset_seed=1).examples()
    np.testing.assert_array_equal(images.x_train, same.x_train)
    assert not np.array_equal(images.x_train, other.x_train)
    larger = {bytes(x) for x in _own(root, subset=17).examples().x_train}
    assert {bytes(x) for x in images.x_train} < larger
    assert images.content == same.content == _own(root).examples().content


def test_cap_comes_first(root: str) -> None:
    whole, capped = _own(root).examples(), _own(root, cap_per_class=4).examples()
    np.testing.assert_array_equal(np.bincount(capped.y_train), [4, 4, 4])
    np.testing.assert_array_equal(capped.x_train[capped.y_train == 1], whole.x_train[whole.y_train == 1][:4])
    assert capped.n_test == whole.n_test
    with pytest.raises(UserError, match=r"dataset.subset=13: at most 12 of the 12 images"):
        _own(root, cap_per_class=4, subset=13).examples()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"subset": 31}, "dataset.subset=31: at most 30 of the 30 images"),
        ({"subset": 2}, "dataset.subset=2 is less than one image for each of the 3 classes"),
        ({"test_subset": 13}, "dataset.test_subset=13: at most 12"),
        ({"subset": 0}, "dataset.subset=0: give a whole number, 1 or more"),
        ({"subset": 2.5}, "dataset.subset=2.5: give a whole number"),
        ({"subset": True}, "dataset.subset=True: give a whole number"),
        ({"cap_per_class": "x"}, "dataset.cap_per_class=x: give a whole number"),
        ({"subset_seed": None}, "dataset.subset_seed=None: give a whole number, 0 or more"),
    ],
)
def test_bad_numbers(root: str, more: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _own(root, **more).examples()


def test_bad_sources(tmp_path: Path, root: str) -> None:
    with pytest.raises(UserError, match=r"dataset.source=npx: unknown for own; did you mean 'npz'\?"):
        Dataset("own", "npx", root).examples()
    with pytest.raises(UserError, match=r"dataset.root is null; type dataset.root=FILE.npz"):
        Dataset("own", "npz").examples()
    with pytest.raises(UserError, match=r"dataset.root is null; type dataset.root=FOLDER"):
        Dataset("own", "imagefolder").examples()
    with pytest.raises(UserError, match=r"none.npz: no such file; .* dataset.source=imagefolder"):
        Dataset("own", "npz", str(tmp_path / "none.npz")).examples()
    with pytest.raises(UserError, match="give a plain word"):
        Dataset("../own", "npz", root).examples()


def test_home_and_lists_of_omegaconf(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(root).parent))
    dataset = _own(f"~/{Path(root).name}", mean=OmegaConf.create([0.5, 0.25, 0.1]), std=0.5)
    assert dataset.examples().n_train == 30
    assert dataset.mean == (0.5, 0.25, 0.1)
    assert dataset.std == (0.5,)


def test_a_named_set_without_class_names_gets_the_official_ones(root: str) -> None:
    with pytest.raises(
        UserError, match=r"7 of 10 classes have no training example \('cat', 'deer', 'dog', ...\)"
    ):
        Cifar10("cifar10", "npz", root).examples()
    images = Cifar10("cifar10", "npz", root, empty_classes=True).examples()
    assert images.classes[0] == "airplane"
    assert images.n_classes == 10
    assert not images.complete
