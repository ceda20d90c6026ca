"""The quick ways give bit for bit what the one formula gives, whatever shape, place in memory and type."""

import pytest
import torch

from msda_train.core import pixels
from msda_train.core.pixels import blend, paste

SHAPES = [(7, 3, 9, 11), (8, 3, 32, 32), (1, 3, 5, 5), (5, 13), (6, 4, 5), (4, 3, 96, 64)]


def formula(h, perm, mask):
    mask = mask if h.ndim == 4 else mask.view(-1, *[1] * (h.ndim - 1))
    return torch.lerp(h[perm], h[: len(perm)], mask)


def masks(h, count):
    yield torch.rand(1, 1, 1, 1)
    yield torch.tensor([0.5]).view(1, 1, 1, 1)
    yield torch.rand(count, 1, 1, 1)
    if h.ndim == 4:
        yield torch.rand(1, 1, *h.shape[2:])
        yield torch.rand(count, 1, *h.shape[2:])


@pytest.fixture(params=[False, True], ids=["gathered", "one by one"])
def long_rows(request, monkeypatch):
    """Whether images count as large."""
    monkeypatch.setattr(pixels, "LONG", 0 if request.param else 1 << 40)
    monkeypatch.setattr(pixels, "HUGE", 0 if request.param else 1 << 40)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["plain", "channels_last", "strided"])
def test_blend(shape, form, long_rows):
    for seed in range(5):
        torch.manual_seed(seed)
        h = torch.randn(shape) * 10
        if form == "channels_last" and h.ndim == 4:
            h = h.contiguous(memory_format=torch.channels_last)
        if form == "strided":
            h = torch.randn(*shape[:-1], 2 * shape[-1])[..., ::2]
        for count in {len(h), (len(h) + 1) // 2}:  # rows beyond are partners only
            perm = torch.randperm(len(h))[:count]
            for mask in masks(h, count):
                expected, kept = formula(h, perm, mask), h.clone()
                assert torch.equal(blend(h, perm, mask), expected)
                assert torch.equal(h, kept)
                assert torch.equal(
                    blend(h.clone(memory_format=torch.preserve_format), perm, mask, True), expected
                )


def test_partners_that_are_no_permutation(long_rows):
    h, perm, mask = (
        torch.randn(5, 3, 8, 8),
        torch.tensor([2, 2, 0, 0, 4]),
        torch.tensor([0.3]).view(1, 1, 1, 1),
    )
    assert torch.equal(blend(h.clone(), perm, mask, owned=True), formula(h, perm, mask))


@pytest.mark.parametrize("form", ["plain", "channels_last", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.uint8])
def test_paste(form, dtype, long_rows):
    torch.manual_seed(0)
    h = (torch.rand(7, 3, 10, 12) * 200).to(dtype)
    if form == "channels_last":
        h = h.contiguous(memory_format=torch.channels_last)
    if form == "strided":
        h = h[..., ::2]
    for box in [(0, 10, 0, 6), (2, 5, 1, 4), (3, 3, 2, 5), (9, 10, 5, 6)]:
        for count in (7, 4):
            perm = torch.randperm(7)[:count]
            inside = torch.zeros(h.shape[2:], dtype=torch.bool)
            inside[box[0] : box[1], box[2] : box[3]] = True
            expected, kept = torch.where(inside, h[perm], h[:count]), h.clone()
            made = paste(h, perm, box)
            assert torch.equal(made, expected)
            assert torch.equal(h, kept)
            assert made.data_ptr() != h.data_ptr()
            mine = h.clone(memory_format=torch.preserve_format)
            assert torch.equal(paste(mine, perm, box, owned=True), expected)


def test_who_owns_a_batch_gets_its_memory_back():
    h, perm = torch.randn(4, 3, 96, 96), torch.tensor([1, 2, 0, 3])
    assert paste(h, perm, (1, 3, 1, 3), owned=True) is h
    assert blend(h, perm, torch.full((1, 1, 1, 1), 0.3), owned=True).data_ptr() == h.data_ptr()


def test_gradients_do_not_care_who_owns(long_rows):
    h, perm, mask = torch.randn(4, 3, 9, 9), torch.tensor([1, 2, 0, 3]), torch.full((1, 1, 1, 1), 0.3)
    for work in (lambda x: blend(x, perm, mask, True), lambda x: paste(x, perm, (1, 5, 2, 7), True)):
        leaf = h.clone().requires_grad_()
        work(leaf).square().sum().backward()
        by_hand = h.clone().requires_grad_()
        mixed = formula(by_hand, perm, mask)
        if work(h.clone()).ne(mixed).any():
            inside = torch.zeros(9, 9, dtype=torch.bool)
            inside[1:5, 2:7] = True
            mixed = torch.where(inside, by_hand[perm], by_hand)
        mixed.square().sum().backward()
        torch.testing.assert_close(leaf.grad, by_hand.grad)
