"""Where Puzzle Mix moves the cells of an image, so that salient ones lie where the mask shows it.

arXiv:2009.06962, section 4.2, algorithm 1; code: snu-mllab/PuzzleMix mixup.py, `mask_transport`. Moving cell
i to cell j costs eps * d^2 / (n - 1)^2 - (saliency share of i, if the mask shows j). In a round every cell
asks for its cheapest place, every place keeps the cheapest cell that asked, and a cell that lost never asks
there again; there are n rounds. The authors' code of July to December 2020 forgot that a loser asks
elsewhere, which makes all rounds the same one; they call it a slip made when cleaning up (their issue 4), so
the published numbers come from n rounds. `rounds=1` gives the other.

What nobody fills: only places that the mask hides. Theirs turn black (the mean colour) there, unseen; ours
keep what they had. A shown place whose own saliency is exactly 0 would turn black, too; ours keeps its cell.

Theirs is a dense (B, n^2, n^2) plan. Here a cell's open wishes are the bits of one int64, nearest place
first, of the 61 places within sqrt(18) cells: to go further than that has to be worth 20 eps / (n - 1)^2 of
an image's saliency, 0.33 on 8 x 8 and 0.071 on 16 x 16 with eps 0.8. On CIFAR-10 no cell went beyond 2.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.solvers.puzzle_energy import grid_share

REACH = 18  # greatest squared distance, in cells: 61 places, which fit the bits of an int64


@dataclass(frozen=True)
class Way:
    """Options: whether to move at all; eps; pixels a side of what moves (-1: the mask's cells); "all" rounds
    or the "first"."""

    transport: bool = True
    t_eps: float = 0.8
    t_size: int = 4
    t_rounds: str = "all"


def transport(
    own: Tensor, other: Tensor, perm: Tensor, kept: Tensor, saliency: Tensor, way: Way
) -> tuple[Tensor, Tensor, Tensor]:
    """Images with their salient cells under the mask: (B, C, H, H) of `own`, of `other[perm]`, and the mask.

    kept (B, n, n) is the mask on the cut's grid and returns on the transport's: the same grid if t_size is -1
    or no smaller than a cell, else cells of t_size pixels. saliency (B, H, H) of the images before perm.
    """
    if not way.transport:
        return own, other[perm], kept
    cell = saliency.shape[-1] // kept.shape[-1]
    kept = enlarge(kept, cell // way.t_size if 0 < way.t_size < cell else 1)
    grid = kept.shape[-1]
    share = grid_share(saliency, grid)
    shares, shown = torch.cat([share, share[perm]]), torch.cat([kept > 0, kept < 1])
    plans = transport_plan(shares, shown, way.t_eps, grid if way.t_rounds == "all" else 1)
    plan, plan_other = plans.chunk(2)
    return move_cells(own, plan), move_cells(other, plan_other, perm), kept


def enlarge(grid: Tensor, times: int) -> Tensor:
    """(B, n * times, n * times): every cell of (B, n, n) becomes times x times."""
    return grid.repeat_interleave(times, 1).repeat_interleave(times, 2)


@lru_cache(maxsize=8)
def _steps(n: int, device: torch.device) -> tuple[list[tuple[int, int]], Tensor, Tensor]:
    """Steps (rows, columns) within REACH, nearest first, then in reading order (how argmin breaks ties).

    And two tables that are entered with a bit's number plus one: squared lengths in units of (n - 1)^2,
    float32, and what a step adds to a cell's number. Entry 0, no wish: infinitely far, and stay.
    """
    side = range(-min(n - 1, 4), min(n - 1, 4) + 1)
    near = [(dy, dx) for dy in side for dx in side if dy * dy + dx * dx <= REACH]
    near.sort(key=lambda step: (step[0] ** 2 + step[1] ** 2, step))
    squared = torch.tensor([float("inf"), *(float(dy * dy + dx * dx) for dy, dx in near)], device=device)
    return near, squared / (n - 1) ** 2, torch.tensor([0, *(dy * n + dx for dy, dx in near)], device=device)


@torch.no_grad()
def transport_plan(share: Tensor, shown: Tensor, eps: float, rounds: int) -> Tensor:
    """(B, n, n) int64: the cell, in reading order, that each place shows.

    share (B, n, n) float32 saliency, sum 1, n <= 256; shown (B, n, n) bool, where the mask shows the image at
    all; rounds at least 1, n for the authors' algorithm.
    """
    batch, n, _ = share.shape
    on_host = share.device.type == "cpu"  # where a look at the values costs nothing
    steps, squared, shift = _steps(n, share.device)
    cost, gain = eps * squared, share.flatten()
    worth = torch.searchsorted(cost[1:], gain)  # how many of the steps
    wishes = _shown_nearby(shown, steps[: int(worth.max())] if on_host else steps).flatten()
    wishes &= (1 << worth) - 1
    cell = torch.arange(batch * n * n, device=share.device)
    # A place keeps the greatest gain, of equals the first cell: the gain's bits, then those of the cell.
    tie = (n * n - 1 - torch.arange(n * n, device=share.device)).repeat(batch)
    kept, bid, place, wish = (
        torch.zeros_like(cell),
        torch.zeros_like(cell),
        cell.clone(),
        torch.zeros_like(cell),
    )
    who: Tensor | slice = slice(None)  # asks in this round; on the host only those who were refused
    for _ in range(rounds):
        wish[who] = wishes[who] & -wishes[who]
        step = torch.frexp(wish[who].double()).exponent
        bits = (gain[who] - cost.index_select(0, step)).view(torch.int32).long()  # negative without a wish
        bid[who] = (bits << 16) + tie[who]
        place[who] = cell[who] + shift.index_select(0, step)
        kept.scatter_reduce_(0, place[who], bid[who], "amax")
        refused = (kept.gather(0, place) != bid) & (wish != 0)
        if on_host:
            who = refused.nonzero()[:, 0]
            if len(who) == 0:
                break
        wishes[who] ^= wish[who] * refused[who]
    keeper = n * n - 1 - (kept & 0xFFFF)
    return torch.where(kept > 0, keeper, n * n - 1 - tie).view(batch, n, n)


def _shown_nearby(shown: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """(B, n, n) int64, bit k set where the place at step k lies in the image and is shown."""
    n = shown.shape[-1]
    edge = max((dy for dy, _ in steps), default=0)
    padded = F.pad(shown.permute(1, 2, 0).long(), (0, 0, edge, edge, edge, edge))  # batch last: contiguous
    bits = torch.zeros_like(padded[:n, :n])
    for k, (dy, dx) in enumerate(steps):
        bits.add_(padded[edge + dy : edge + dy + n, edge + dx : edge + dx + n], alpha=1 << k)
    return bits.permute(2, 0, 1)


@torch.no_grad()
def move_cells(x: Tensor, plan: Tensor, perm: Tensor | None = None) -> Tensor:
    """(B, C, H, H) images, in x's memory format, whose cell j is cell plan[., j] of x, or of x[perm].

    A gather of the cells' pixel rows: no patch matrices, and no copy of x[perm].
    """
    batch, channels, height, width = x.shape
    n = plan.shape[-1]
    side = height // n
    image = torch.arange(batch, device=x.device) if perm is None else perm
    row = torch.arange(side, device=x.device).view(side, 1)
    line = image.view(-1, 1, 1, 1) * height + (plan // n * side)[:, :, None] + row  # (B, n, side, n)
    pieces = x.permute(0, 2, 3, 1).reshape(-1, side * channels)  # a view where x is channels_last
    moved = pieces.index_select(0, (line * n + (plan % n)[:, :, None]).flatten())
    moved = moved.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return moved if x.is_contiguous(memory_format=torch.channels_last) else moved.contiguous()
