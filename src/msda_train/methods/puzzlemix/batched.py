"""A near-exact minimum of Puzzle Mix energies, for the whole batch at once, on the device, without waiting.

The minimum cut of a graph is where the minimiser z of a total-variation problem on it,

    sum_v (z_v^2 / 2 + cost_v z_v) + sum_links capacity * max(z_from - z_to, 0),

is positive (Hochbaum 2001; Chambolle 2005, "Total variation minimization and a class of binary MRF models").
The graph is the one of `puzzle_exact`: node p of a cell means that its label is at least p. The binomial
prior is convex, so no link has to keep a cell's nodes in order. The dual is a quadratic problem whose
variables, the flows across borders, only have bounds: it is solved by projected successive over-relaxation
in a fixed number of sweeps. Flows that share no node move together: across every second border of an axis,
between all nodes p before and q after of one p - q. Those with p != q move in every second sweep only, for
little is lost. The last sweep is not over-relaxed: it takes out what the others overshot.

Measured against `solve_exact`: 1,792 pairs of CIFAR-10 images per grid, lam 0.05 to 0.95, gradients of an
untrained and of a briefly trained PreActResNet-18 of width 8; how far above the least energy, in percent, and
the share of pairs with the least energy. Beside it the authors' solver (gco 3, swaps, their integers), on
another draw of such pairs:

    grid     ours: mean  worst  least     gco: mean  worst  least
    2 x 2         0      0      1.000        0.0030   1.96  0.993
    4 x 4         0.0003 0.25   0.997        0.0082   1.20  0.970
    8 x 8         0.0049 0.74   0.981        0.0186   0.87  0.902
    16 x 16       0.0154 1.55   0.927        0.0254   0.69  0.784
"""

import math

import torch
from torch import Tensor

from msda_train.core.recording import replayed
from msda_train.methods.puzzlemix.energy import Terms


def solve_batched(terms: Terms, sweeps: int | None = None) -> Tensor:
    """(B, n, n) int64 labels; `sweeps` over all borders, by default 7 + 3 n / 4. Some hundred small kernels:
    replayed where recording is on."""

    def work(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
        return _solve(Terms(unary, down, right), sweeps)

    labels: Tensor = replayed(solve_batched, sweeps, work, terms.unary, terms.down, terms.right)
    return labels


@torch.no_grad()
def _solve(terms: Terms, sweeps: int | None) -> Tensor:
    n = terms.unary.shape[-1]
    # Batch last: every slice below is then contiguous along it.
    rest = terms.unary.diff(dim=1).permute(1, 2, 3, 0).contiguous()  # (k, n, n, B), cost minus flow
    down, right = terms.down.permute(1, 2, 0), terms.right.permute(2, 1, 0)
    links = _links(rest, down) + _links(rest.transpose(1, 2), right)
    straight = [link for link in links if link.straight]
    usual = 2 / (1 + math.sin(math.pi / (n + 2)))  # about the best for Poisson's equation on such a grid
    for left in reversed(range(7 + 3 * n // 4 if sweeps is None else sweeps)):
        for link in straight if left % 2 else links:
            link.relax(usual if left else 1.0)
    return (rest < 0).sum(dim=0).permute(2, 0, 1).contiguous()


def _links(rest: Tensor, weight: Tensor) -> list["_Links"]:
    """All flows along one axis: rest (k, n, n, B), weight (n - 1, n, B) between rows.

    Their bounds are the capacities of `puzzle_exact`: w both ways for p = q, else 2 w from the higher node.
    """
    k = len(rest)
    times = {t: weight * (t / k**2) for t in (-2, -1, 0, 1, 2)}
    links = []
    for parity in range(min(2, len(weight))):
        last = parity + 2 * len(weight[parity::2])
        before, after = rest[:, parity:last:2], rest[:, parity + 1 : last : 2]
        for d in sorted(range(1 - k, k), key=abs):  # p - q
            low, high = (-1, 1) if d == 0 else (0, 2) if d > 0 else (-2, 0)
            nodes = before[max(d, 0) : k + min(d, 0)], after[max(-d, 0) : k - max(d, 0)]
            links.append(_Links(*nodes, times[low][parity::2], times[high][parity::2], straight=d == 0))
    return links


class _Links:
    """Flows that share no node, and their bounds; `before` and `after` (., ., n, B) are views of `rest`."""

    def __init__(self, before: Tensor, after: Tensor, least: Tensor, most: Tensor, *, straight: bool) -> None:
        self.before, self.after, self.least, self.most = before, after, least, most
        self.straight = straight
        # Buffers are reused, since fresh ones cost more than the arithmetic.
        self.flow, self.spare = before.new_zeros(before.shape), before.new_empty(before.shape)

    def relax(self, omega: float) -> None:
        """One step of these flows towards evening out `rest`, within their bounds; omega 1 evens it out."""
        new, change = self.spare, self.flow
        torch.sub(self.after, self.before, out=new)
        torch.add(self.flow, new, alpha=omega / 2, out=new)
        torch.clamp(new, self.least, self.most, out=new)
        torch.sub(new, self.flow, out=change)
        self.before.add_(change)
        self.after.sub_(change)
        self.flow, self.spare = new, change
