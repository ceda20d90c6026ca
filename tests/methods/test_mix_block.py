"""Masks of feature maps against the formulas, position by position."""

import math

import pytest
import torch
from torch.nn import functional as F

from msda_train.methods._mask_loss import adjusted, mask_loss
from msda_train.methods._mix_block import STD, Generator, MixBlock, lam_curve

SIZE = (12, 12)


def _maps(count, channels=5, side=3):
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(2, channels, side, side, generator=draw) for _ in range(count)]


def _grown(block):
    """Weights that make a difference: the first ones are near zero."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return block


def _at(conv, z, position):
    """A 1x1 convolution at one position: a matrix times a vector."""
    bias = 0 if conv.bias is None else conv.bias
    return conv.weight[:, :, 0, 0] @ z.flatten(1)[:, position] + bias


def _row(scores):
    return torch.stack(scores).softmax(0)


PLAIN = {"lam_input": "none", "joint": False, "deep_value": False, "mask_of": "other", "up": "nearest"}


def _block(**changed):
    return MixBlock(5, **(PLAIN | changed))


@pytest.mark.parametrize("mask_of", ["other", "own"])
@pytest.mark.parametrize("lam_input", ["none", "concat"])
def test_automix_mask_by_loops(mask_of, lam_input):
    block, (own, other), lam = _grown(_block(mask_of=mask_of, lam_input=lam_input)), _maps(2), 0.3
    mask = block(own, other, lam, SIZE)
    for b in range(2):
        z, w = own[b], other[b]
        if lam_input == "concat":
            z, w = (torch.cat([m, torch.full((1, 3, 3), v)]) for m, v in ((z, lam), (w, 1 - lam)))
        p = [
            _row([_at(block.query, z, i) @ _at(block.query, w, j) / math.sqrt(2) for j in range(9)])
            for i in range(9)
        ]
        for row in range(3):
            for column in range(3):
                i = 3 * row + column
                if mask_of == "other":
                    seen = sum(p[i][j] * _at(block.value, w, j) for j in range(9))
                    expected = 1 - 1 / (1 + torch.exp(-seen))
                else:
                    seen = sum(p[j][i] * _at(block.value, z, j) for j in range(9))
                    expected = 1 / (1 + torch.exp(-seen))
                found = mask[b, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                torch.testing.assert_close(found, expected.expand(4, 4))


def test_samix_mask_by_loops():
    words = {"lam_input": "scale", "joint": True, "deep_value": True, "up": "bilinear"}
    block, (own, other), lam = _grown(_block(**words)), _maps(2), 0.3
    mask = block(own, other, lam, SIZE)
    own, other = own * (1 + lam_curve(lam)), other * (1 + lam_curve(1 - lam))
    hidden, norm, _, last = block.value
    h = torch.stack([torch.stack([_at(hidden, z, j) for j in range(9)], 1) for z in other])  # (B, C, 9)
    centred = h - h.mean((0, 2), keepdim=True)
    h = centred / (centred.square().mean((0, 2), keepdim=True) + norm.eps).sqrt()
    h = h * norm.weight[:, None] + norm.bias[:, None]
    h = torch.where(h > 0, h, h.exp() - 1)
    v = torch.stack([torch.stack([_at(last, z.view(-1, 3, 3), j) for j in range(9)]) for z in h])
    seen = torch.zeros(2, 1, 3, 3)
    for b in range(2):
        z = torch.cat([own[b], other[b]])
        for i in range(9):
            p = _row([_at(block.query, z, i) @ _at(block.key, z, j) / math.sqrt(2) for j in range(9)])
            seen[b, 0, i // 3, i % 3] = (p @ v[b]).item()
    large = F.interpolate(seen, size=SIZE, mode="bilinear")
    torch.testing.assert_close(mask, 1 - torch.sigmoid(large), atol=1e-5, rtol=1e-5)


def test_adautomix_masks_by_loops():
    block, maps = _grown(Generator(5, up="nearest")), _maps(3)
    masks = block(maps, SIZE)
    assert masks.shape == (2, 3, *SIZE)
    for b in range(2):
        for i in range(9):
            seen = []
            for own in range(3):
                query = _at(block.query, maps[own][b], i).relu()
                others = [k for k in range(3) if k != own]
                keys = [[_at(block.key, maps[k][b], j).relu() for k in others] for j in range(9)]
                p = _row([sum(query @ k for k in at) / math.sqrt(2) for at in keys])
                seen.append(sum(p[j] * _at(block.value, maps[own][b], j) for j in range(9)))
            expected = torch.cat(seen).softmax(0)
            torch.testing.assert_close(masks[b, :, 4 * (i // 3), 4 * (i % 3)], expected)


def test_lam_curve():
    assert lam_curve(0) == 0
    assert lam_curve(1) == pytest.approx(1)
    assert lam_curve(0.5) == pytest.approx(0.5)
    assert lam_curve(0.25) == pytest.approx((4 / 3 / 64 - 2 / 16 + 1.25 / 4) / (1.25 - 2 / 3))


def test_first_weights():
    torch.manual_seed(0)
    block = MixBlock(256, lam_input="none", joint=True, deep_value=True, mask_of="other", up="nearest")
    assert block.query.weight.std().item() == pytest.approx(STD, rel=0.05)
    assert all((m.bias == 0).all() for m in (block.query, block.key))
    assert block.query.weight.shape == (128, 512, 1, 1)


def test_float32_under_autocast():
    block, maps = _grown(Generator(5, up="bilinear")), _maps(3)
    plain = block(maps, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(maps, SIZE), plain)


def test_mask_loss_by_hand():
    mask = torch.tensor([0.9, 0.5, 0.7, 0.3]).view(2, 1, 1, 2)  # mean 0.6, variance 0.05
    assert mask_loss(mask, 0.3, 0.1, 0.0).item() == pytest.approx(0.2)
    assert mask_loss(mask, 0.55, 0.1, 0.0).item() == 0
    assert mask_loss(mask, 0.3, 0.1, 2.0).item() == pytest.approx(0.2 - 2 * 0.05)


def test_adjusted_masks_have_the_mean_asked_for():
    mask = torch.tensor([0.9, 0.5, 0.2, 0.0]).view(2, 1, 1, 2)
    found = adjusted(mask, 0.35)
    torch.testing.assert_close(found[0].flatten(), torch.tensor([0.45, 0.25]))  # scaled by 0.35 / 0.7
    share = 0.65 / 0.9  # of the partner's
    torch.testing.assert_close(found[1].flatten(), torch.tensor([1 - 0.8 * share, 1 - share]))
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.full((2,), 0.35))
