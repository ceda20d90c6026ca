"""ImageNet's own layouts, small: synsets, and the lists that say what a flat val/ holds."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.data.imagenet import GROUND_TRUTH, KAGGLE, ImageNet

SYNSETS = ("n02", "n05", "n11")


@pytest.fixture
def write(tmp_path: Path, write_imagenet):
    """A flat val/ unless `flat` is false; its lines."""

    def made(root: Path = tmp_path, flat: bool = True) -> list[tuple[str, str]]:
        return write_imagenet(root, train=6, val=6, flat=flat, synsets=SYNSETS)

    return made


def labels(root: Path, **more: object) -> dict[str, int]:
    """By the name of each test image its label."""
    images = ImageNet("imagenet", root=str(root), **more).examples()  # type: ignore[arg-type]
    assert not images.complete
    assert images.shape == (3, 224, 224)
    names = [images.x_test.name(k).decode().rpartition("/")[2] for k in range(images.n_test)]
    return dict(zip(names, images.y_test.tolist(), strict=True))


def test_every_way_to_say_what_is_in_val(tmp_path: Path, write) -> None:
    expected = {name: SYNSETS.index(synset) for name, synset in write(flat=False)}
    in_folders = ImageNet("imagenet", root=str(tmp_path)).examples()
    assert labels(tmp_path) == expected
    flat = tmp_path / "flat"
    lines = write(flat)
    with pytest.raises(UserError, match=r"val: no class folders in it, and no list beside it; put val.txt"):
        labels(flat)
    (flat / "val.txt").write_text("".join(f"{name} {expected[name]}\n" for name, _ in lines))
    assert labels(flat) == expected
    assert ImageNet("imagenet", root=str(flat)).examples().content == in_folders.content
    (flat / "val.txt").write_text("".join(f"{name} {synset}\n" for name, synset in lines))
    assert labels(flat) == expected
    (flat / "val.txt").rename(tmp_path / "elsewhere.txt")
    assert labels(flat, val_list=str(tmp_path / "elsewhere.txt")) == expected


def test_kaggles_archive(tmp_path: Path, write) -> None:
    lines = write(tmp_path / KAGGLE)
    head = "ImageId,PredictionString\n"
    rows = [f"{name.removesuffix('.JPEG')},{synset} 1 2 30 40 {synset} 5 6 7 8\n" for name, synset in lines]
    (tmp_path / "LOC_val_solution.csv").write_text(head + "".join(rows))
    assert labels(tmp_path) == {name: SYNSETS.index(synset) for name, synset in lines}


def test_the_devkit_numbers_synsets_in_its_own_order(tmp_path: Path, write) -> None:
    lines = write()
    numbers = {"n11": 1, "n02": 2, "n05": 3}
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = np.array([(numbers[s], s, "w") for s in numbers] + [(1001, "n99", "an inner node")], dtype=kind)
    savemat(tmp_path / "meta.mat", {"synsets": rows})
    (tmp_path / GROUND_TRUTH).write_text("".join(f"{numbers[synset]}\n" for _, synset in lines))
    assert labels(tmp_path) == {name: SYNSETS.index(synset) for name, synset in lines}
    (tmp_path / "meta.mat").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"meta.mat: cannot be read .* must lie beside"):
        labels(tmp_path)


def test_the_order_of_classes_may_be_given(tmp_path: Path, write) -> None:
    lines = write(flat=False)
    listed = tmp_path / "synsets.txt"
    listed.write_text("n11 red fox\nn02 goldfish\nn05 cock\n")
    order = ["n11", "n02", "n05"]
    assert labels(tmp_path, synsets=str(listed)) == {name: order.index(synset) for name, synset in lines}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n11\nn02\n", r"2 synsets, but train/ has 3; n05 is missing in it. Give one synset"),
        ("n11\nn02\nn05\nn06\n", r"4 synsets, but train/ has 3; n06 is no folder of train/"),
        ("n11\nn02\nn05\nn02\n", r"4 synsets, but train/ has 3; n02 is twice in it"),
    ],
)
def test_a_synset_list_that_does_not_fit(tmp_path: Path, write, text: str, message: str) -> None:
    write(flat=False)
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        labels(tmp_path, synsets=str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], r"ILSVRC2012_val_00000001.JPEG: not in .*val.txt"),
        (lambda lines: [f"{line.split()[0]} 7" for line in lines], r"has the label 7, which is no synset"),
        (
            lambda lines: [line.split()[0] for line in lines],
            r"is no `IMAGE LABEL`; give one image in each line",
        ),
    ],
)
def test_a_list_of_val_that_does_not_fit(tmp_path: Path, write, change, message: str) -> None:
    lines = [" ".join(pair) for pair in write()]
    (tmp_path / "val.txt").write_text("\n".join(change(lines)))
    with pytest.raises(UserError, match=message) as caught:
        labels(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_a_root_it_lies_where_data_sets_are_kept(data_folder: Path, write) -> None:
    assert not ImageNet("imagenet").prepared()
    write(paths.DATA / "imagenet", flat=False)
    assert ImageNet("imagenet").prepared()
    assert ImageNet("imagenet").examples().n_train == 6
    with pytest.raises(UserError, match=r"dataset.root=nowhere.*: no such folder|no such folder"):
        ImageNet("imagenet", root="nowhere").examples()
