import pytest
import torch

from msda_train.methods.puzzlemix.energy import grid_share
from msda_train.methods.puzzlemix.transport import (
    REACH,
    Way,
    enlarge,
    move_cells,
    plan_on_device,
    plan_on_host,
    transport,
)


def problem(seed, n, *, batch=6, peaks=2.0):
    """Saliency shares, peaky, and masks of 0, 1/2 and 1."""
    draw = torch.Generator().manual_seed(seed)
    share = torch.rand(batch, n, n, generator=draw) ** peaks + 1e-4
    kept = torch.randint(0, 3, (batch, n, n), generator=draw) / 2
    return share / share.sum((1, 2), keepdim=True), kept


def authors_plan(share, shown, eps, rounds):
    """Of one image, with loops over the dense n^2 x n^2 matrix; None where nobody is: black."""
    n = len(share)
    cells = [(r, c) for r in range(n) for c in range(n)]
    cost = [
        [
            eps * ((a - c) ** 2 + (b - d) ** 2) / (n - 1) ** 2 - (share[a, b].item() if shown[c, d] else 0.0)
            for c, d in cells
        ]
        for a, b in cells
    ]
    for _ in range(rounds):
        wish = [min(range(n * n), key=lambda j, row=row: row[j]) for row in cost]
        kept = [None] * (n * n)
        for place in range(n * n):
            entries = [cost[i][place] if wish[i] == place else 0.0 for i in range(n * n)]
            best = min(range(n * n), key=lambda i: entries[i])
            if wish[best] == place:
                kept[place] = best
        for i, j in enumerate(wish):
            if kept[j] != i:
                cost[i][j] += 1
    return kept


PLANS = pytest.mark.parametrize("plan_by", [plan_on_host, plan_on_device])


@PLANS
@pytest.mark.parametrize("rounds", ["all", "first"])
@pytest.mark.parametrize("peaks", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("n", [2, 4, 5])
def test_what_is_shown_is_what_the_slow_loop_shows(n, peaks, rounds, plan_by):
    share, kept = problem(n, n, peaks=peaks)
    moved = 0
    for shown in (kept > 0, kept < 1):
        plan = plan_by(share, shown, 0.8, n if rounds == "all" else 1)
        for i in range(len(share)):
            slow = authors_plan(share[i], shown[i], 0.8, n if rounds == "all" else 1)
            for place in range(n * n):
                if shown[i].flatten()[place]:  # never black: a shown cell asks for its own place at least
                    assert plan[i].flatten()[place] == slow[place]
                    moved += slow[place] != place
    assert moved > 0 or n == 2  # there the way costs 0.8 at least


@PLANS
def test_rounds_differ_where_a_loser_asks_elsewhere(plan_by):
    """By hand, a row of the 3 x 3 grid: cell 1 takes place 0 from cell 0; with another round cell 0, still
    worth more than cell 3, takes that one's place."""
    share = torch.tensor([[0.2, 0.6, 0.0], [0.05, 0.0, 0.0], [0.0, 0.0, 0.15]])[None]
    shown = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 1]]).bool()[None]
    first, second = (plan_by(share, shown, 0.4, rounds)[0].flatten() for rounds in (1, 3))
    assert first[[0, 3, 8]].tolist() == [1, 3, 8]
    assert second[[0, 3, 8]].tolist() == [1, 0, 8]


@PLANS
def test_no_cell_goes_beyond_its_reach(plan_by):
    share = torch.full((1, 16, 16), 1e-6)
    share[0, 0, 0] = 1 - 255e-6
    for place, goes in (((3, 3), True), ((0, 4), True), ((0, 5), False)):
        shown = torch.zeros(1, 16, 16, dtype=torch.bool)
        shown[0][place] = True
        assert place[0] ** 2 + place[1] ** 2 <= REACH or not goes
        plan = plan_by(share, shown, 0.8, 16)
        assert plan[0][place] == (0 if goes else place[0] * 16 + place[1])


@PLANS
def test_a_shown_place_without_saliency_keeps_its_cell(plan_by):
    share = torch.zeros(1, 4, 4)
    share[0, 3, 3] = 1.0
    shown = torch.ones(1, 4, 4, dtype=torch.bool)
    assert torch.equal(plan_by(share, shown, 0.8, 4)[0], torch.arange(16).view(4, 4))


@pytest.mark.parametrize("rounds", [1, 2, 16])
@pytest.mark.parametrize("peaks", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("eps", [0.05, 0.8])
def test_host_and_device_make_the_same_plan(eps, peaks, rounds):
    """Masks of 4 x 4 patches hide whole neighbourhoods; equal shares make ties, some are exactly 0."""
    moved = 0
    for n in (8, 16):
        draw = torch.Generator().manual_seed(n)
        share = (torch.rand(12, n, n, generator=draw) * 8).round() ** peaks
        share[:4] = torch.rand(4, n, n, generator=draw) ** peaks
        share = share / share.sum((1, 2), keepdim=True)
        shown = enlarge(torch.rand(12, n // 4, n // 4, generator=draw), 4) < 0.5
        plans = [plan_by(share, shown, eps, rounds) for plan_by in (plan_on_host, plan_on_device)]
        assert torch.equal(*plans)
        moved += (plans[0] != torch.arange(n * n).view(n, n)).sum()
    assert moved > 50


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_cells_move_as_a_slow_loop_moves_them(memory, few):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 12, 12, generator=draw).contiguous(memory_format=memory)
    plan = torch.randint(0, 16, (3, 4, 4), generator=draw)
    perm = torch.tensor([2, 2, 0])
    plan[0] = torch.arange(16).view(4, 4)
    own, other = move_cells(x, plan, few=few), move_cells(x, plan, perm, few=few)
    for i in range(3):
        for row in range(12):
            for column in range(12):
                cell = plan[i, row // 3, column // 3].item()
                r, c = cell // 4 * 3 + row % 3, cell % 4 * 3 + column % 3
                assert torch.equal(own[i, :, row, column], x[i, :, r, c])
                assert torch.equal(other[i, :, row, column], x[perm[i], :, r, c])
    assert own.is_contiguous(memory_format=memory)


@pytest.mark.parametrize(("size", "grid"), [(4, 8), (2, 16), (-1, 4), (8, 4), (16, 4)])
def test_the_grid_of_the_transport(size, grid):
    _, kept = problem(1, 4)
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(6, 3, 32, 32, generator=draw)
    perm = torch.randperm(6, generator=draw)
    share = grid_share(torch.rand(6, 32, 32, generator=draw), grid)
    assert Way(t_size=size).grid(32, 4) == grid
    own, other, fine = transport(x, x + 1, perm, kept, share, Way(t_size=size))
    assert fine.shape == (6, grid, grid)
    assert torch.equal(fine, enlarge(kept, grid // 4))
    assert own.shape == other.shape == x.shape
    # The partner is treated as if it were a batch of its own.
    alone, _, _ = transport(x[perm] + 1, x, perm, 1 - kept, share[perm], Way(t_size=size))
    assert torch.equal(alone, other)


def test_without_transport_nothing_moves():
    share, kept = problem(1, 4)
    x, perm = torch.randn(6, 3, 8, 8), torch.tensor([1, 0, 3, 2, 5, 4])
    own, other, same = transport(x, x, perm, kept, share, Way(transport=False))
    assert own is x
    assert torch.equal(other, x[perm])
    assert same is kept
