"""Localisation of a network whose maps are known: it sees bright squares, and boxes lie on or off them."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.evaluation.probes.localisation import Localisation
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.staged import GlobalMean, Staged

SIDE = 8


def subject(boxes, squares, labels=(0, 0, 0, 0)):
    """Test images with a bright square each; the map of class 0 is the image itself, that of class 1 its
    negative, so bright images are named 0."""
    x = np.zeros((len(squares), SIDE, SIDE, 1), dtype=np.uint8)
    for image, (left, top, right, bottom) in zip(x, squares, strict=True):
        image[top:bottom, left:right] = 255
    network = Staged([nn.Conv2d(1, 1, 1), nn.Sequential(GlobalMean(), nn.Linear(1, 2))]).eval()
    with torch.no_grad():
        network.stages[0].weight.fill_(1), network.stages[0].bias.zero_()
        network.stages[1][1].weight.copy_(torch.tensor([[1.0], [-1.0]])), network.stages[1][1].bias.zero_()
    y = np.array(labels[: len(squares)])
    images = Images(x, y, x, y, ("a", "b"), name="squares", content="", complete=False)
    images = images if boxes is None else _with(images, boxes)
    return Subject(network, images, [0.0], [1.0], torch.device("cpu"), contextlib.nullcontext, 0, {})


def _with(images, boxes):
    return replace(images, boxes_test=np.array(boxes, dtype=np.float32))


NONE = [np.nan] * 4


def test_right_boxes_are_counted():
    squares = [(0, 0, 4, 4), (2, 2, 6, 6), (0, 0, 8, 2), (4, 4, 8, 8)]
    boxes = [[(0, 0, 4, 4), NONE], [(2, 2, 6, 8), NONE], [(0, 4, 8, 8), (0, 0, 8, 3)], [(0, 0, 2, 2), NONE]]
    found = Localisation(iou=[0.5, 0.7], thresholds=4)(subject(boxes, squares)).numbers
    assert found["images"] == 4
    assert found["known_0.2_iou_0.5"] == 0.75  # 1, 2/3, 2/3 (the better of two boxes), 0
    assert found["known_0.2_iou_0.7"] == 0.25
    assert found["max_box_iou_0.5"] == 0.75
    assert found["top1_0.2_iou_0.5"] == 0.75


def test_top1_also_asks_for_the_class():
    squares = [(0, 0, 4, 4), (2, 2, 6, 6)]
    of_both = subject([[squares[0]], [squares[1]]], squares, labels=(0, 1))
    found = Localisation()(of_both).numbers
    assert found["known_0.2_iou_0.5"] == 0.5  # of class 1 the map is hot outside the square
    assert found["top1_0.2_iou_0.5"] == 0.5


def test_images_without_a_box_are_left_out():
    squares = [(0, 0, 4, 4), (2, 2, 6, 6)]
    assert Localisation()(subject([[squares[0]], [NONE]], squares)).numbers["images"] == 1
    with pytest.raises(UserError, match="none of these test images has a box"):
        Localisation()(subject([[NONE], [NONE]], squares))
    with pytest.raises(UserError, match="no boxes; type dataset=cub200"):
        Localisation()(subject(None, squares))


def test_the_best_threshold_is_told():
    """A dim surround is part of the object: only low thresholds see it."""
    made = subject([[(0, 0, 8, 8)]], [(0, 0, 8, 8)])
    made.images.x_test[0, :, :, 0] = 200
    made.images.x_test[0, 2:4, 2:4, 0] = 255
    made.images.x_test[0, 0, 0, 0] = 0
    found = Localisation(threshold=0.9, thresholds=10)(made)
    assert found.numbers["known_0.9_iou_0.5"] == 0
    assert found.numbers["max_box_iou_0.5"] == 1
    best = next(record for record in found.records if record["measure"] == "max_box")
    assert best["threshold"] < 200 / 255
    assert found.arrays["right_iou_0.5"].shape == (10,)


@pytest.mark.parametrize(
    "options", [{"threshold": 2}, {"iou": 0.5}, {"iou": []}, {"thresholds": 0}, {"images": 0}]
)
def test_options_are_checked(options):
    with pytest.raises(UserError, match=f"probes.localisation.{next(iter(options))}"):
        Localisation(**options)
