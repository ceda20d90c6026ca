"""RandomResizedCrop of a batch against torchvision's, image by image."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.loader import Loader
from msda_train.data.resized_crop import draw_boxes, resized

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def test_pixels_are_torchvisions():
    torch.manual_seed(0)
    x = torch.randn(40, 3, 16, 12)
    boxes = draw_boxes(np.random.default_rng(0), 40, 16, 12, SCALE, RATIO)
    ours = resized(x, torch.from_numpy(boxes))
    for k in range(40):
        for antialias in (False, True):
            theirs = F.resized_crop(x[k], *boxes[:, k].tolist(), size=[16, 12], antialias=antialias)
            torch.testing.assert_close(ours[k], theirs, atol=2e-5, rtol=1e-5)


def test_the_whole_image_stays_as_it_is():
    x = torch.randn(2, 1, 8, 8)
    whole = torch.tensor([[0, 0], [0, 0], [8, 8], [8, 8]])
    torch.testing.assert_close(resized(x, whole), x, atol=1e-6, rtol=1e-6)


def test_boxes_are_drawn_as_torchvision_draws_them():
    """Means and spreads of 8,000 boxes of each; theirs come one by one."""
    torch.manual_seed(0)
    ours = draw_boxes(np.random.default_rng(0), 8000, 64, 64, SCALE, RATIO).astype(float)
    transform, x = v2.RandomResizedCrop(64, SCALE, RATIO), torch.empty(3, 64, 64)
    made = [transform.make_params([x]) for _ in range(8000)]
    theirs = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in made], dtype=float).T
    np.testing.assert_allclose(ours.mean(1), theirs.mean(1), atol=0.8)  # of about 15 and 45; 4 deviations
    np.testing.assert_allclose(ours.std(1), theirs.std(1), atol=0.6)
    assert (ours[0] + ours[2] <= 64).all()
    assert (ours[1] + ours[3] <= 64).all()


@pytest.mark.parametrize(("size", "middle"), [((8, 32), (8, 11)), ((32, 8), (11, 8)), ((9, 9), (9, 9))])
def test_where_no_box_fits_the_middle_is_taken(size, middle):
    """Boxes of the whole area never fit a long image."""
    boxes = draw_boxes(np.random.default_rng(0), 3, *size, (1.5, 1.6), RATIO)
    expected = ((size[0] - middle[0]) // 2, (size[1] - middle[1]) // 2, *middle)
    assert (expected == boxes.T).all()


def _loader(**more):
    x = np.random.default_rng(1).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    common = {"batch_size": 10, "mean": (0.5,) * 3, "std": (0.25,) * 3, "device": "cpu", "seed": 4}
    return Loader(x, np.arange(30) % 3, **(common | {"crop_scale": SCALE} | more)), x


def test_the_loader_crops_and_its_draws_follow_from_the_seed():
    loader, x = _loader()
    seen = torch.cat([batch for batch, _ in loader.train_batches(2)])
    boxes = draw_boxes(generator(4, "resized_crop", 2), 60, 8, 8, SCALE, RATIO).reshape(4, 2, 30)[:, 0]
    order = loader.order(2)
    plain = torch.from_numpy((x[order].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25).float()
    torch.testing.assert_close(seen, resized(plain, torch.from_numpy(boxes)), atol=1e-5, rtol=1e-5)
    again = torch.cat([batch for batch, _ in _loader()[0].train_batches(2)])
    assert torch.equal(seen, again)
    tested = torch.cat([batch for batch, _ in loader.test_batches()])
    torch.testing.assert_close(tested[order], plain)  # tests are not cropped


def test_partners_have_boxes_of_their_own():
    loader, _ = _loader()
    (pairs, _), *_ = loader.train_pairs(0, lambda image, rng: image)  # everybody is their own partner
    assert pairs.shape == (20, 3, 8, 8)
    (alone, _), *_ = loader.train_batches(0)
    assert torch.equal(pairs[:10], alone)
    assert not torch.equal(pairs[10:], alone)


def test_where_pixels_lie_is_not_known_any_more():
    with pytest.raises(UserError, match=r"^recipe.crop_scale: .*type recipe.crop_scale=null"):
        next(iter(_loader()[0].origins(0)))
