"""Pascal VOC in its own layout: lists, boxes, the odd cases, and the archives."""

import hashlib
import tarfile

import numpy as np
import pytest
from voc_images import OBJECT, make_voc

from msda_train.core.errors import UserError
from msda_train.data import voc
from msda_train.data.voc import TEST, TRAIN, Voc


def opened(root, lists=TRAIN, *, typed=True):
    return Voc(root, lists, "probes.ssd.root", typed)


def test_both_years_are_learned_from_and_one_is_tested_on(tmp_path):
    make_voc(tmp_path, train=3, newer=2, test=4)
    train, test = opened(tmp_path), opened(tmp_path, TEST)
    assert [path.parts[-3:] for path in train.images][::4] == [
        ("VOC2007", "JPEGImages", "000001.jpg"),
        ("VOC2012", "JPEGImages", "000002.jpg"),
    ]
    assert len(test.images) == 4


def test_boxes_lie_around_the_pixels(tmp_path):
    """The squares are of one colour, so it can be seen: pixels count from 1, the last one is inside."""
    images = opened(make_voc(tmp_path))
    for number, kind in enumerate(("bus", "cat", "bus", "bus")):
        objects, pixels = images.objects(number), np.asarray(images.picture(number)).astype(int)
        left, top, right, bottom = objects.boxes[0].astype(int)
        assert voc.CLASSES[objects.labels[0] - 1] == kind
        channel = 0 if kind == "bus" else 2
        bright = (pixels[..., channel] > 200) & (pixels[..., 1] < 60)
        seen = np.zeros_like(bright)
        seen[top:bottom, left:right] = True
        assert (bright == seen).mean() > 0.98  # a JPEG's borders are soft
    assert images.objects(0).difficult.tolist() == [False, True]
    assert images.objects(0).boxes[1].tolist() == [0, 0, 10, 10]
    assert images.objects(1).difficult.tolist() == [False]


def test_corners_may_be_fractions_and_an_image_may_show_nothing(tmp_path):
    make_voc(tmp_path, train=2)
    folder = tmp_path / "VOCdevkit" / "VOC2007" / "Annotations"
    (folder / "000001.xml").write_text("<annotation/>")
    (folder / "000002.xml").write_text(f"<a>{OBJECT.format('car', 0, '45.7', 2, 60, 70)}</a>")
    images = opened(tmp_path)
    assert images.objects(0).boxes.shape == (0, 4)
    np.testing.assert_allclose(images.objects(1).boxes, [[44.7, 1, 60, 70]], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotation>", "no annotation"),
        ("<a><object><name>cat</name></object></a>", "no annotation"),
        (f"<a>{OBJECT.format('unicorn', 0, 1, 1, 2, 2)}</a>", "of the kind 'unicorn'"),
        (f"<a>{OBJECT.format('cat', 0, 'x', 1, 2, 2)}</a>", "no annotation"),
        (f"<a>{OBJECT.format('cat', 0, 'nan', 1, 2, 2)}</a>", "a box from"),
        (f"<a>{OBJECT.format('cat', 0, 9, 1, 2, 2)}</a>", "a box from"),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path, text, why):
    make_voc(tmp_path)
    file = tmp_path / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml"
    file.write_text(text)
    with pytest.raises(UserError, match=why) as told:
        opened(tmp_path).objects(0)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_damaged_picture_is_named(tmp_path):
    make_voc(tmp_path)
    (tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000001.jpg").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"000001\.jpg: no picture"):
        opened(tmp_path).picture(0)


def test_an_archive_that_lies_there_is_unpacked(tmp_path, monkeypatch):
    made = make_voc(tmp_path / "made")
    root = tmp_path / "root"
    root.mkdir()
    (made / "VOCdevkit" / "VOC2012").rename(tmp_path / "newer")
    archive = root / "VOCtest_06-Nov-2007.tar"
    with tarfile.open(archive, "w") as content:
        content.add(made / "VOCdevkit", "VOCdevkit")
    key = ("2007", "test")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(voc._FILES, key, (voc._FILES[key][0], md5))
    assert len(opened(root, TEST, typed=False).images) == 2
    archive.write_bytes(b"spoilt")  # nobody looks at it any more
    assert len(opened(root, TEST, typed=False).images) == 2


def test_an_archive_that_was_not_unpacked_to_its_end_is_unpacked_again(tmp_path, monkeypatch):
    made = make_voc(tmp_path / "made", test=3)
    archive = tmp_path / "VOCtest_06-Nov-2007.tar"
    with tarfile.open(archive, "w") as content:
        content.add(made / "VOCdevkit", "VOCdevkit")
    make_voc(tmp_path, test=1)  # a list, and a part of the images
    key = ("2007", "test")
    monkeypatch.setitem(voc._FILES, key, (voc._FILES[key][0], hashlib.md5(archive.read_bytes()).hexdigest()))
    assert len(opened(tmp_path, TEST, typed=False).images) == 3


def test_what_cannot_be_downloaded_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(voc, "_HOST", "http://127.0.0.1:9/")
    monkeypatch.setattr(voc, "_MIRROR", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"cannot download VOCtrainval_06-Nov-2007\.tar") as told:
        _ = opened(tmp_path, typed=False).images
    assert "probes.ssd.root=FOLDER" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("folder", ["VOCdevkit", "nowhere"])
def test_a_typed_folder_is_never_downloaded_to(tmp_path, folder):
    make_voc(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="type the folder in which VOCdevkit lies") as told:
        _ = opened(tmp_path / folder).images
    assert str(told.value).startswith(f"probes.ssd.root={tmp_path / folder}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_missing_is_told_before_anything_is_learned(tmp_path):
    images = opened(make_voc(tmp_path))
    everything = images.checked(iter(range(4)))
    images.images[1].unlink()
    with pytest.raises(UserError, match=r"000002\.jpg: is missing; unpack the archive again"):
        images.checked(iter(range(4)))
    listed = tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "trainval.txt"
    listed.write_text("000001\n")
    fewer = opened(tmp_path)
    assert fewer.checked(iter(range(2))) != everything
    listed.write_text("")
    with pytest.raises(UserError, match="names no image"):
        _ = opened(tmp_path).images
