"""Boxes of heat maps made by hand, IoU against torchvision."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from msda_train.functional.localisation import iou, largest_box


def test_the_box_of_the_largest_part():
    heat = np.zeros((8, 10))
    heat[1:4, 2:7] = 0.5  # 15 pixels
    heat[6, 9] = 1.0  # hotter, but smaller
    assert largest_box(heat, 0.2) == (2, 1, 7, 4)
    assert largest_box(heat, 0.6) == (9, 6, 10, 7)


def test_parts_that_touch_at_a_corner_are_one():
    heat = np.eye(4)
    assert largest_box(heat, 0.5) == (0, 0, 4, 4)


def test_the_threshold_itself_counts():
    heat = np.array([[0.0, 0.5, 1.0]])
    assert largest_box(heat, 0.5) == (1, 0, 3, 1)
    assert largest_box(heat, 0.51) == (2, 0, 3, 1)


def test_an_empty_map_gives_the_whole_image():
    assert largest_box(np.zeros((3, 5)), 0.2) == (0, 0, 5, 3)


def test_iou_is_torchvisions():
    rng = np.random.default_rng(0)
    low = rng.random((2, 20, 2)) * 10
    one, other = np.concatenate([low, low + 1 + 9 * rng.random((2, 20, 2))], axis=-1)
    expected = box_iou(torch.from_numpy(one), torch.from_numpy(other)).numpy()
    np.testing.assert_allclose(iou(one[:, None], other[None]), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("other", "expected"), [((0, 0, 2, 2), 1), ((2, 2, 4, 4), 0), ((1, 0, 3, 2), 1 / 3), ((5, 5, 6, 6), 0)]
)
def test_iou_by_hand(other, expected):
    assert iou((0, 0, 2, 2), other) == pytest.approx(expected)
