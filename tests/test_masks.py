import numpy as np
import pytest
import torch

from msda_train import masks

CPU = torch.device("cpu")


def _box(lam, centre, ratio=1.0):
    return masks.centred_box(np.array([lam]), np.array([centre]), 32, 32, ratio)


@pytest.mark.parametrize(
    ("lam", "centre", "edges", "kept"),
    [
        (0.65, (16, 16), (7, 25, 7, 25), 0.68359375),
        (0.65, (2, 30), (0, 11, 21, 32), 0.8818359375),
        (0.3, (16, 16), (3, 29, 3, 29), 0.33984375),
        (0.9, (0, 0), (0, 5, 0, 5), 0.9755859375),
        (0.999, (16, 16), (16, 16, 16, 16), 1.0),  # a side of 1 is no box
    ],
)
def test_cutmix_boxes(lam, centre, edges, kept):
    found = _box(lam, centre)
    assert tuple(found[0]) == edges
    assert masks.kept_share(found, 32, 32)[0] == kept


@pytest.mark.parametrize(
    ("centre", "edges", "kept"),
    [((16, 16), (10, 22, 10, 22), 0.859375), ((2, 30), (0, 8, 24, 32), 0.9375)],
)
def test_hmix_boxes(centre, edges, kept):
    found = _box(0.65, centre, ratio=0.5)
    assert tuple(found[0]) == edges
    assert masks.kept_share(found, 32, 32)[0] == kept


def test_continuous_corners_are_rounded_and_clipped():
    found = masks.continuous_box(np.array([0.64, 0.64]), np.array([[16.0, 16.3], [1.0, 31.9]]), 32, 32)
    assert tuple(found[0]) == (6, 26, 7, 26)  # half a side is 9.6
    assert tuple(found[1]) == (0, 11, 22, 32)


def test_box_mask_equals_slicing():
    edges = np.array([[1, 3, 2, 5], [0, 0, 0, 5], [0, 4, 0, 6]])
    expected = torch.ones(3, 1, 4, 6)
    for mask, (top, bottom, left, right) in zip(expected, edges, strict=True):
        mask[0, top:bottom, left:right] = 0
    assert torch.equal(masks.box_mask(edges, 4, 6, CPU), expected)
    assert torch.equal(masks.box_mask(torch.from_numpy(edges), 4, 6, CPU), expected)


def test_blob_equals_the_formula_pixel_by_pixel():
    found = masks.blob_mask(np.array([0.25, 0.0]), np.array([[2, 5], [0, 0]]), 6, 8, CPU)
    for row in range(6):
        for column in range(8):
            d2 = (row - 2) ** 2 + (column - 5) ** 2
            assert found[0, 0, row, column].item() == pytest.approx(
                np.exp(-np.pi * d2 / (0.25 * 48)), rel=1e-5
            )
    assert torch.equal(found[1], torch.zeros(1, 6, 8))
