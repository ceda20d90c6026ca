"""An independent implementation, torchvision's v2.MixUp and v2.CutMix, makes the same pixels and labels.

It pairs each image with its neighbour and draws by itself, so its draws are read off its output.
"""

import numpy as np
import pytest
import torch

from msda_train.core.mix import Mix
from msda_train.functional.masks import box_mask, kept_share

v2 = pytest.importorskip("torchvision.transforms.v2")


@pytest.fixture
def numbered():
    """Image i is white noise with a different label each, so the two labels and their weights can be read."""
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(8)


def _neighbour(weight, mask):
    return Mix(torch.arange(8).roll(1), weight, mask)


@pytest.mark.parametrize("seed", range(5))
def test_mixup(numbered, seed):
    x, y = numbered
    torch.manual_seed(seed)
    theirs, target = v2.MixUp(alpha=1.0, num_classes=8)(x, y)
    lam = target[0, 0].view(1)
    mix = _neighbour(lam, lam.view(1, 1, 1, 1))
    torch.testing.assert_close(mix.apply(x), theirs)
    torch.testing.assert_close(mix.target(y, 8), target)


@pytest.mark.parametrize("seed", range(12))
def test_cutmix(numbered, seed):
    x, y = numbered
    torch.manual_seed(seed)
    theirs, target = v2.CutMix(alpha=1.0, num_classes=8)(x, y)
    rows, columns = ((theirs != x)[0, 0].any(1).nonzero()[:, 0], (theirs != x)[0, 0].any(0).nonzero()[:, 0])
    edges = np.zeros((1, 4), dtype=np.int64)
    if len(rows):
        edges[0] = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    kept = torch.as_tensor(kept_share(edges, 32, 32), dtype=torch.float32)
    mix = _neighbour(kept, box_mask(edges, 32, 32, x.device))
    assert torch.equal(mix.apply(x), theirs)
    torch.testing.assert_close(mix.target(y, 8), target)
