import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.models.dropblock import DropBlock, DropSquares
from msda_train.models.preactresnet import preactresnet


@pytest.fixture
def pinned(monkeypatch):
    """Makes `torch.rand` return 0 (a seed at any rate) where told, else 1."""

    def pin(*positions):
        def rand(*shape, device=None):
            draws = torch.ones(shape)
            for position in positions:
                draws[position] = 0.0
            return draws

        monkeypatch.setattr(torch, "rand", rand)

    return pin


def dropped(kept):
    """Where a (H, W) mask is 0, as a set of (row, column)."""
    return {tuple(p) for p in (kept == 0).nonzero().tolist()}


def square(rows, columns):
    return {(r, c) for r in rows for c in columns}


def test_paper_squares_start_at_the_seed_and_stay_inside(pinned):
    pinned((0, 1, 0, 0), (0, 1, 2, 4), (1, 0, 3, 2))
    kept = DropSquares(0.1, 3, "paper").kept(torch.empty(2, 2, 6, 7))
    assert kept.shape == (2, 2, 6, 7)
    assert dropped(kept[0, 1]) == square(range(3), range(3)) | square(range(2, 5), range(4, 7))
    assert dropped(kept[1, 0]) == square(range(3, 6), range(2, 5))
    assert dropped(kept[0, 0]) == dropped(kept[1, 1]) == set()  # every channel has its own


@pytest.mark.parametrize(("block", "before", "after"), [(3, 1, 1), (4, 1, 2), (1, 0, 0), (2, 0, 1)])
def test_code_squares_cross_the_border_and_are_shared(pinned, block, before, after):
    pinned((0, 0, 0, 0), (1, 0, 4, 5))
    kept = DropSquares(0.1, block, "code").kept(torch.empty(2, 3, 6, 7))
    assert kept.shape == (2, 1, 6, 7)
    assert dropped(kept[0, 0]) == square(range(after + 1), range(after + 1))
    rows, columns = range(4 - before, min(4 + after + 1, 6)), range(5 - before, min(5 + after + 1, 7))
    assert dropped(kept[1, 0]) == square(rows, columns)


@pytest.mark.parametrize("seed_rate", ["paper", "code"])
@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_against_a_slow_loop(seed_rate, block):
    end = DropSquares(0.3, block, seed_rate)
    h = torch.randn(3, 2, 6, 5)
    torch.manual_seed(11)
    out = end(h)
    torch.manual_seed(11)
    if seed_rate == "paper":
        rows, columns = 6 - block + 1, 5 - block + 1
        seeds = torch.rand(3, 2, rows, columns) < 0.3 / block**2 * 30 / (rows * columns)
        first = 0
    else:
        seeds = (torch.rand(3, 1, 6, 5) < 0.3 / block**2).expand(3, 2, 6, 5)
        first = -((block - 1) // 2)
    mask = torch.ones(3, 2, 6, 5)
    for n, c, row, column in seeds.nonzero().tolist():
        for i in range(first, first + block):
            for j in range(first, first + block):
                if 0 <= row + i < 6 and 0 <= column + j < 5:
                    mask[n, c, row + i, column + j] = 0
    assert 0 < mask.sum() < mask.numel()
    torch.testing.assert_close(out, h * mask * mask.numel() / mask.sum())


@pytest.mark.parametrize(("side", "block"), [(8, 4), (16, 3), (32, 4)])
def test_the_share_of_dropped_elements(side, block):
    """The paper's gamma is made so that about `rate` is dropped; squares may overlap, so a little less."""
    torch.manual_seed(0)
    h = torch.empty(64, 16, side, side)
    paper = 1 - DropSquares(0.1, block, "paper").kept(h).mean().item()
    assert 0.09 < paper < 0.101
    code = 1 - DropSquares(0.1, block, "code").kept(h).mean().item()
    assert code < 0.1


def test_the_mean_stays_and_evaluation_does_nothing():
    torch.manual_seed(0)
    end, h = DropSquares(0.2, 2, "paper"), torch.ones(4, 3, 8, 8)
    assert end(h).mean().item() == pytest.approx(1, rel=1e-5)
    assert torch.equal(end.eval()(h), h)


def test_everything_dropped_is_zero_not_nan():
    for seed_rate in ("paper", "code"):
        assert torch.equal(DropSquares(1.0, 1, seed_rate)(torch.ones(1, 2, 4, 4)), torch.zeros(1, 2, 4, 4))


def test_a_square_larger_than_the_map_is_refused_on_the_meta_device():
    build = preactresnet
    with torch.device("meta"):
        network = build([1, 1, 1], 4, "manifold", 1, classes=10, channels=3, regulariser=DropBlock())
        network(torch.empty(2, 3, 16, 16))
        with pytest.raises(UserError, match=r"^model.regulariser.block=4: .*3x3; type .*=3$"):
            network(torch.empty(2, 3, 12, 12))


@pytest.mark.parametrize("seed_rate", ["paper", "code"])
def test_compiled_and_bfloat16(seed_rate):
    torch._dynamo.reset()
    end = DropSquares(0.3, 2, seed_rate)
    h = (1 + torch.rand(2, 3, 8, 8)).bfloat16().requires_grad_()  # no zeros but those that are made
    torch.manual_seed(3)
    plain = end(h)
    torch.manual_seed(3)
    compiled = torch.compile(end, backend="aot_eager", fullgraph=True)(h)
    assert plain.dtype == compiled.dtype == torch.bfloat16
    assert torch.equal(plain, compiled)
    compiled.sum().backward()
    assert torch.equal(h.grad == 0, plain == 0)
