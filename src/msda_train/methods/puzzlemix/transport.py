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

Few cells move: hidden ones that are worth a way, and those that lose their place to them. On the host only
they are looked at, in as many rounds as it takes; a device does all cells in all rounds and tells the host
nothing. The plans are the same.
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.core.recording import replayed

REACH = 18  # greatest squared distance, in cells: 61 places, which fit the bits of an int64


@dataclass(frozen=True)
class Way:
    """Options: whether to move at all; eps; pixels a side of what moves (-1: the mask's cells); "all" rounds
    or the "first"."""

    transport: bool = True
    t_eps: float = 0.8
    t_size: int = 4
    t_rounds: str = "all"

    def grid(self, side: int, n: int) -> int:
        """Cells a side that move in images of `side` pixels, where the mask has n: pieces, or the same."""
        return side // self.t_size if self.transport and 0 < self.t_size < side // n else n


def transport(
    own: Tensor, other: Tensor, perm: Tensor, kept: Tensor, share: Tensor, way: Way
) -> tuple[Tensor, Tensor, Tensor]:
    """Images with their salient cells under the mask: (B, C, H, H) of `own`, of `other[perm]`, and the mask.

    kept (B, n, n) is the mask on the cut's grid and returns on the transport's, g x g (`way.grid`). share
    (B, g, g): of the saliency (`grid_share`), before perm.
    """
    if not way.transport:
        return own, other[perm], kept
    options = (way.t_eps, way.t_rounds)
    moved: tuple[Tensor, Tensor, Tensor]
    moved = replayed(transport, options, partial(_transport, *options), own, other, perm, kept, share)
    return moved


def _transport(
    eps: float, rounds: str, own: Tensor, other: Tensor, perm: Tensor, kept: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grid, share = share.shape[-1], share.contiguous()
    kept = enlarge(kept, grid // kept.shape[-1])
    shares, shown = torch.cat([share, share.index_select(0, perm)]), torch.cat([kept > 0, kept < 1])
    on_host = own.device.type == "cpu"
    plan_by = plan_on_host if on_host else plan_on_device
    plans = plan_by(shares, shown, eps, grid if rounds == "all" else 1)
    plan, plan_other = plans.chunk(2)
    moved = move_cells(own, plan, few=on_host), move_cells(other, plan_other, perm, few=on_host)
    return *moved, kept


def enlarge(grid: Tensor, times: int) -> Tensor:
    """(B, n * times, n * times): every cell of (B, n, n) becomes times x times."""
    batch, n, _ = grid.shape
    wide = grid[..., None].expand(-1, -1, -1, times).reshape(batch, n, 1, n * times)
    return wide.expand(-1, -1, times, -1).reshape(batch, n * times, n * times)


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
def plan_on_device(share: Tensor, shown: Tensor, eps: float, rounds: int) -> Tensor:
    """(B, n, n) int64: the cell, in reading order, that each place shows.

    share (B, n, n) float32 saliency, sum 1, n <= 256; shown (B, n, n) bool, where the mask shows the image at
    all; rounds at least 1, n for the authors' algorithm.
    """
    batch, n, _ = share.shape
    steps, squared, shift = _steps(n, share.device)
    cost, gain = eps * squared, share.flatten()
    wishes = _shown_nearby(shown, steps).flatten()
    wishes &= (1 << torch.searchsorted(cost[1:], gain)) - 1  # as many of the steps as pay
    cell = torch.arange(batch * n * n, device=share.device)
    # A place keeps the greatest gain, of equals the first cell: the gain's bits, then those of the cell.
    tie = n * n - 1 - cell % (n * n)
    kept = torch.zeros_like(cell)
    for _ in range(rounds):
        wish = wishes & -wishes
        step = torch.frexp(wish.double()).exponent
        bits = (gain - cost.index_select(0, step)).view(torch.int32).long()  # negative without a wish
        bid, place = (bits << 16) + tie, cell + shift.index_select(0, step)
        kept.scatter_reduce_(0, place, bid, "amax")
        wishes ^= wish * (kept.gather(0, place) != bid)  # no wish again where one was refused
    return torch.where(kept > 0, n * n - 1 - (kept & 0xFFFF), n * n - 1 - tie).view(batch, n, n)


def _shown_nearby(shown: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """(B, n, n) int64, bit k set where the place at step k lies in the image and is shown."""
    n = shown.shape[-1]
    edge = max(dy for dy, _ in steps)
    padded = F.pad(shown.permute(1, 2, 0).long(), (0, 0, edge, edge, edge, edge))  # batch last: contiguous
    bits = torch.zeros_like(padded[:n, :n])
    for k, (dy, dx) in enumerate(steps):
        bits.add_(padded[edge + dy : edge + dy + n, edge + dx : edge + dx + n], alpha=1 << k)
    return bits.permute(2, 0, 1)


@torch.no_grad()
def plan_on_host(share: Tensor, shown: Tensor, eps: float, rounds: int) -> Tensor:
    """(B, n, n) int64: what `plan_on_device` finds, of the same arguments on the CPU. It looks only at cells
    that may move: hidden ones, and who loses to them.

    A shown cell asks for its own place first: it counts as that one's keeper from the start.
    """
    batch, n, _ = share.shape
    steps, squared, shift = _steps(n, share.device)
    cost, gain = (eps * squared).numpy(), share.flatten().numpy()
    wishes = _Wishes(shown, steps, cost, gain)

    def bid(cells: np.ndarray, entry: np.ndarray | int) -> np.ndarray:
        bits = (gain[cells] - cost[entry]).view(np.int32).astype(np.int64)
        bid_bits: np.ndarray = (bits << 16) + (n * n - 1 - cells % (n * n))
        return bid_bits

    asked = np.ones(gain.size, dtype=np.int64)  # the entry of each cell's wish: 1, its own place
    kept, plan = np.zeros_like(asked), np.tile(np.arange(n * n), batch)
    cells = wishes.following(np.flatnonzero(~shown.flatten().numpy() & (gain > cost[2])), asked)
    while rounds and len(cells):
        place, mine = cells + shift.numpy()[asked[cells]], bid(cells, asked[cells])
        before = kept[place] = np.maximum(kept[place], bid(place, 1))
        np.maximum.at(kept, place, mine)
        plan[place] = n * n - 1 - (kept[place] & 0xFFFF)
        won = kept[place] == mine
        loser = place[won] - place[won] % (n * n) + n * n - 1 - (before[won] & 0xFFFF)
        cells, rounds = wishes.following(np.concatenate([cells[~won], loser]), asked), rounds - 1
    return torch.from_numpy(plan).view(batch, n, n)


class _Wishes:
    """What cells ask for next, on the host: shown (B, n, n), cost as in `plan_on_device`, gain (B n n,)."""

    def __init__(
        self, shown: Tensor, steps: list[tuple[int, int]], cost: np.ndarray, gain: np.ndarray
    ) -> None:
        self.n, self.margin = shown.shape[-1], max(dy for dy, _ in steps)
        self.open = F.pad(shown, (self.margin,) * 4).flatten().numpy()  # no place beyond the edges is shown
        self.lines = self.n + 2 * self.margin  # of such an image
        self.shift = np.array([0, *(dy * self.lines + dx for dy, dx in steps)])
        self.cost, self.gain = cost, gain

    def following(self, cells: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Those of the cells that still have a wish; entries `asked` of theirs move on to it."""
        entry = asked[cells]
        count = np.maximum(np.searchsorted(self.cost[1:], self.gain[cells]) - entry, 0)  # that pay
        which = np.repeat(np.arange(len(cells)), count)
        tried = np.arange(len(which)) + np.repeat(entry + 1 - np.cumsum(count) + count, count)
        rows, columns = np.divmod(cells, self.n)
        rows += (2 * (rows // self.n) + 1) * self.margin
        at = rows * self.lines + columns + self.margin
        found = np.flatnonzero(self.open[at[which] + self.shift[tried]])
        asked[cells[which[found[::-1]]]] = tried[found[::-1]]  # of several the last stays: the nearest
        has = np.zeros(len(cells), dtype=bool)
        has[which[found]] = True
        return cells[has]


@torch.no_grad()
def move_cells(x: Tensor, plan: Tensor, perm: Tensor | None = None, *, few: bool) -> Tensor:
    """(B, C, H, H) images, in x's memory format, whose cell j is cell plan[., j] of x, or of x[perm].

    x (B, C, H, H), plan (B, n, n) int64 with n a divisor of H, perm (B,) int64.

    few: find those that move and copy only them again; a device would have to wait for their number.
    """
    batch, channels, height, width = x.shape
    n = plan.shape[-1]
    side = height // n
    rows = x.permute(0, 2, 3, 1).reshape(batch, -1)  # a view where x is channels_last
    moved = rows.clone() if perm is None else rows.index_select(0, perm)
    cells, place = plan.flatten(1), torch.arange(n * n, device=x.device)
    if few:
        image, place = (cells != place).nonzero().unbind(1)
    else:
        image = torch.arange(batch, device=x.device)[:, None].expand_as(cells).flatten()
        place = place.expand_as(cells).flatten()
    line = torch.arange(side, device=x.device) * n

    def pieces(image: Tensor, cell: Tensor) -> Tensor:
        """The numbers of the cells' pixel rows."""
        return ((image * n + cell // n) * side * n + cell % n)[:, None].add(line).flatten()

    target, source = pieces(image, place), pieces(image if perm is None else perm[image], cells[image, place])
    parts = rows.view(-1, side * channels).index_select(0, source)
    moved.view(-1, side * channels).index_copy_(0, target, parts)
    moved = moved.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return moved if x.is_contiguous(memory_format=torch.channels_last) else moved.contiguous()
