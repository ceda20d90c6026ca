"""Boxes in ImageNet's XML files: they move as torchvision moves the pixels, and are read when asked for."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from msda_train.core.errors import UserError
from msda_train.data.boxes import cut_out
from msda_train.data.imagenet import ImageNet
from msda_train.data.reading import Look

XML = "<annotation><size><width>{w}</width><height>{h}</height></size>{objects}</annotation>"
ONE = "<object><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


@pytest.fixture
def root(tmp_path):
    """Two synsets, four validation images of 60 x 40 pixels; boxes of the first two."""
    for k, synset in enumerate(("n1", "n2")):
        for split, count in (("train", 2), ("val", 2)):
            folder = tmp_path / split / synset
            folder.mkdir(parents=True)
            for number in range(count):
                name = f"ILSVRC2012_val_{2 * k + number:08}.JPEG" if split == "val" else f"{number}.JPEG"
                Image.new("RGB", (60, 40), (50 * k, 9, number)).save(folder / name, "JPEG")
    boxes = tmp_path / "bbox_val"
    boxes.mkdir()
    objects = ONE.format(10, 0, 29, 19) + ONE.format(0, 0, 2, 39)
    (boxes / "ILSVRC2012_val_00000000.xml").write_text(XML.format(w=60, h=40, objects=objects))
    (boxes / "ILSVRC2012_val_00000001.xml").write_text(XML.format(w=60, h=40, objects=""))
    return tmp_path


def examples(root):
    return ImageNet(root=str(root), name="imagenet", source="imagefolder", size=28, resize=32).examples()


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (50, 50), (333, 500)])
def test_a_box_moves_as_its_pixels_do(size):
    width, height = size
    box = (width // 5, height // 4, width // 2, height // 2)
    image = torch.zeros(1, height, width)
    image[:, box[1] : box[3], box[0] : box[2]] = 1
    shown = F.center_crop(F.resize(image, [32], antialias=True), [28, 28])[0] > 0.5
    rows, columns = shown.any(1).nonzero().flatten(), shown.any(0).nonzero().flatten()
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    (moved,) = cut_out(tuple(map(float, box)), size, 32, 28)
    np.testing.assert_allclose(moved, [float(side) for side in seen], atol=1)


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (333, 500)])
def test_a_box_is_squeezed_as_its_pixels_are(size):
    """Both sides to 32, whatever they were, then the middle."""
    width, height = size
    box = (width // 5, height // 4, width // 2, height // 2)
    picture = Image.new("L", size)
    picture.paste(255, box)
    shown = np.asarray(Look(28, 32, squeeze=True).middle(picture)) > 127
    assert shown.shape == (28, 28)
    rows, columns = shown.any(1).nonzero()[0], shown.any(0).nonzero()[0]
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    (moved,) = cut_out(tuple(map(float, box)), size, 32, 28, squeeze=True)
    np.testing.assert_allclose(moved, [float(side) for side in seen], atol=1)


def test_what_is_cut_off_is_none():
    assert cut_out((0.0, 0.0, 3.0, 40.0), (60, 40), 32, 28) == []


def test_boxes_are_read_with_their_images(root):
    found = examples(root)
    boxes = found.boxes_test[0:4]
    names = [found.x_test.name(k).decode() for k in range(4)]
    first = next(k for k, name in enumerate(names) if name.endswith("00000000.JPEG"))
    whole = cut_out((10.0, 0.0, 30.0, 20.0), (60, 40), 32, 28)
    np.testing.assert_allclose(boxes[first][0], whole[0])
    assert np.isnan(boxes[first][1:]).all()  # the second box lies outside of the middle
    assert np.isnan(np.delete(boxes, first, axis=0)).all()
    some = found.boxes_test[np.array([first])]
    np.testing.assert_allclose(some[0:1][0][0], whole[0])


def test_a_damaged_file_is_named_and_only_when_it_is_asked_for(root):
    file = root / "bbox_val" / "ILSVRC2012_val_00000001.xml"
    file.write_text("<annotation>")
    found = examples(root)
    with pytest.raises(UserError, match=f"^{file}: cannot be read as boxes"):
        found.boxes_test[0:4]
    file.write_text(XML.format(w=60, h=40, objects=ONE.format(0, 0, 99, 20)))
    with pytest.raises(UserError, match="does not lie in the image"):
        found.boxes_test[0:4]


def test_without_boxes_there_are_none(root):
    (root / "bbox_val").rename(root / "elsewhere")
    assert examples(root).boxes_test is None
