"""Detectors on a small Pascal VOC, from a run's network to the number in its row."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from voc_images import make_voc

from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data import voc
from msda_train.data.voc import TEST, TRAIN, Voc
from msda_train.evaluation.fine_tuning import FineTuning
from msda_train.evaluation.finished_run import NoNetwork
from msda_train.evaluation.object_detection import Learned, precision_of
from msda_train.evaluation.probes.faster_rcnn import FasterRcnn
from msda_train.evaluation.probes.ssd import Ssd
from msda_train.evaluation.probes.subject import Subject
from msda_train.evaluation.probing import build_probes
from msda_train.models.preactresnet import preactresnet
from msda_train.models.resnet50 import resnet50


@pytest.fixture(scope="module")
def subject():
    torch.manual_seed(0)
    network = resnet50([1, 1, 1, 1], 4, classes=5, channels=3).eval()
    return Subject(network, None, [0.45] * 3, [0.25] * 3, torch.device("cpu"), nullcontext, 3, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_voc(tmp_path_factory.mktemp("voc"))


def test_ssd_from_a_network_to_a_number(subject, root):
    probe = Ssd(steps=3, batch_size=2, lr=0.001, lr_drops=[2], root=str(root))
    before = [value.clone() for value in subject.network.state_dict().values()]
    found = probe(subject)
    assert list(found.numbers) == ["map_3x2_lr0.001_2_part"]
    [record] = found.records
    assert (record["train_images"], record["test_images"]) == (4, 2)
    assert found.arrays["ap"].shape == (20,)
    assert found.numbers["map_3x2_lr0.001_2_part"] == pytest.approx(found.arrays["ap"].mean())
    after = subject.network.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not subject.network.training
    again = probe(subject)
    np.testing.assert_array_equal(again.arrays["loss"], found.arrays["loss"])


class Seeing(nn.Module):
    """Finds what is there: squares of red and of blue, by their pixels."""

    def forward(self, images):
        made = []
        for image in images:
            red = (image[0] > 0.75) & (image[1] < 0.25)
            rows, columns = torch.where(red | ((image[2] > 0.75) & (image[1] < 0.25)))
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            label = 6 if red.any() else 8
            boxes = torch.tensor([box, [0, 0, 5, 5]], dtype=torch.float32)
            made.append(
                {"boxes": boxes, "scores": torch.tensor([0.9, 0.2]), "labels": torch.tensor([label] * 2)}
            )
        return made


def test_a_detector_that_sees_is_right(subject, root):
    ap = precision_of(subject, Seeing(), Voc(root, TEST, "root", True))
    assert ap[[5, 7]].tolist() == [1, 1]  # a bus and a cat, found before anything wrong
    assert ap.sum() == 2


def test_difficult_objects_are_not_learned_from(root):
    images = Voc(root, TRAIN, "root", True)
    learned = Learned(images, [])
    rng = np.random.default_rng(0)
    image, boxes, labels = learned.drawn(0, rng)
    assert images.objects(0).difficult.tolist() == [False, True]
    assert labels.tolist() == [6]
    np.testing.assert_array_equal(image, images.picture(0))
    np.testing.assert_array_equal(boxes, images.objects(0).boxes[:1])


def test_an_image_of_difficult_objects_only_is_left_out(tmp_path):
    root = make_voc(tmp_path)
    file = root / "VOCdevkit" / "VOC2007" / "Annotations" / "000002.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1"))
    assert Learned(Voc(root, TRAIN, "root", True), []).numbers == [0, 2, 3]


def test_a_flip_takes_the_box_along(root, subject):
    learned = Learned(Voc(root, TRAIN, "root", True), FasterRcnn(1, 1, 0.1).augmented(subject))
    torch.manual_seed(0)
    seen = set()
    for _ in range(12):
        image, boxes, _ = learned.drawn(1, np.random.default_rng(0))
        left, top, right, bottom = boxes[0].astype(int)
        assert (image[top + 3 : bottom - 3, left + 3 : right - 3, 2] > 180).all()
        seen.add(left)
    assert len(seen) == 2


@pytest.mark.parametrize(("part", "number"), [("000001", 0), ("000500", 1)])
def test_a_picture_that_cannot_be_read_is_one_line(tmp_path, subject, part, number):
    """Of training, and of the test: read beside this process, too."""
    root = make_voc(tmp_path)
    (root / "VOCdevkit" / "VOC2007" / "JPEGImages" / f"{part}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=f"{part}.jpg: no picture") as told:
        Ssd(steps=2, batch_size=2, lr=0.001, root=str(root))(replace(subject, readers=number))
    assert "\n" not in str(told.value)


def test_only_weights_decay_in_faster_rcnn(subject):
    probe = FasterRcnn(steps=1, batch_size=1, lr=0.1)
    network = probe._network(subject)
    weights, biases = probe.optimizer(network).param_groups
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.0001, 0.0)
    assert all(each.ndim == 1 for each in biases["params"])
    learning = sum(each.requires_grad for each in network.parameters())
    assert len(weights["params"]) + len(biases["params"]) == learning
    [group] = Ssd(1, 1, 0.1).optimizer(network).param_groups
    assert group["weight_decay"] == 0.0005


def test_the_presets_are_the_papers(root):
    words = {}
    for preset in ("cutmix_ssd", "cutmix_faster_rcnn", "saliencymix_faster_rcnn"):
        [asked] = build_probes(compose(f"probes={preset}").probes)
        words[preset] = asked.probe.schedule.words
    assert words == {
        "cutmix_ssd": "120000x32_lr0.001_80000_100000",
        "cutmix_faster_rcnn": "120000x8_lr0.01_100000",
        "saliencymix_faster_rcnn": "41000x8_lr0.004_33000",
    }


def test_what_can_never_work_is_told_first(root, subject, monkeypatch):
    """Not after a download, or after days."""
    monkeypatch.setattr(voc, "_download", lambda *_: pytest.fail("nothing is downloaded"))
    other = replace(subject, network=preactresnet([1, 1], 4, "manifold", 1, classes=5, channels=3))
    with pytest.raises(UserError, match="train model=resnet50"):
        Ssd(1, 2, 0.1)(other)
    with pytest.raises(UserError, match="there is no checkpoint; a row alone holds no network"):
        FasterRcnn(1, 2, 0.1)(replace(subject, network=NoNetwork(root / "checkpoint.pt")))


def test_the_test_is_looked_at_before_training(tmp_path, subject, monkeypatch):
    root = make_voc(tmp_path)
    monkeypatch.setattr(FineTuning, "learn", lambda *_: pytest.fail("nothing is learned"))
    (root / "VOCdevkit" / "VOC2007" / "Annotations" / "000500.xml").write_text("<")
    with pytest.raises(UserError, match=r"000500\.xml: no annotation"):
        Ssd(1, 2, 0.1, root=str(root))(subject)


def test_other_images_are_not_gone_on_with(tmp_path, subject):
    root, folder = make_voc(tmp_path / "voc"), tmp_path / "run"
    folder.mkdir()
    probe, there = Ssd(steps=1, batch_size=2, lr=0.001, root=str(root)), replace(subject, folder=folder)
    [first] = probe(there).leftovers
    assert first.is_file()
    moved = root.rename(tmp_path / "moved")
    [same] = replace(probe, root=str(moved))(there).leftovers
    make_voc(moved, train=5)
    [other] = replace(probe, root=str(moved))(there).leftovers
    assert (first == same, first == other) == (True, False)


def test_wrong_options_are_named(subject, tmp_path):
    with pytest.raises(UserError, match=r"probes\.ssd\.steps=0"):
        Ssd(0, 1, 0.1)
    with pytest.raises(UserError, match=r"probes\.faster_rcnn\.lr=0"):
        FasterRcnn(1, 1, 0)
    with pytest.raises(UserError, match="no such home folder"):
        Ssd(1, 1, 0.1, root="~nobody-at-all/voc")(subject)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Ssd, FasterRcnn])
def test_on_a_gpu(subject, root, kind):
    there = replace(subject, device=torch.device("cuda"), network=copy.deepcopy(subject.network).cuda())
    found = kind(steps=2, batch_size=2, lr=0.001, root=str(root))(there)
    assert np.isfinite(found.arrays["loss"]).all()
    assert found.arrays["ap"].shape == (20,)
