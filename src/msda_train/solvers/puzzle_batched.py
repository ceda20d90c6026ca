"""A near-exact minimum of Puzzle Mix energies, for the whole batch at once, on the device, without waiting.

The minimum cut of a graph is where the minimiser z of a total-variation problem on it,

    sum_v (z_v^2 / 2 + cost_v z_v) + sum_links capacity * max(z_from - z_to, 0),

is positive (Hochbaum 2001; Chambolle 2005, "Total variation minimization and a class of binary MRF models").
The graph is the one of `puzzle_exact`: node p of a cell means that its label is at least p. The binomial
prior is convex, so no link has to keep a cell's nodes in order. The dual is a quadratic problem whose
variables, the flows across borders, only have bounds: it is solved by projected successive over-relaxation,
every second border at once (no two of them share a cell), in a fixed number of sweeps.

Measured against `solve_exact`: 1,792 pairs of CIFAR-10 images per grid, lam 0.05 to 0.95, gradients of an
untrained and of a briefly trained PreActResNet-18 of width 8; how far above the least energy, in percent, and
the share of pairs with the least energy. Beside it the authors' solver (gco 3, swaps, their integers):

    grid     ours: mean  worst  least     gco: mean  worst  least
    2 x 2         0      0      1.000        0.0030   1.96  0.993
    4 x 4         0.0001 0.16   0.999        0.0082   1.20  0.970
    8 x 8         0.0052 1.32   0.986        0.0186   0.87  0.902
    16 x 16       0.0152 0.88   0.914        0.0254   0.69  0.784
"""

import torch
from torch import Tensor

from msda_train.solvers.puzzle_energy import Terms

RELAXATION = 1.9  # below 2; chosen on real terms, where 1.7 to 1.95 differ little


@torch.no_grad()
def solve_batched(terms: Terms, sweeps: int | None = None) -> Tensor:
    """(B, n, n) int64 labels; `sweeps` over all borders, by default 8 + 2 n."""
    n, k = terms.unary.shape[-1], terms.unary.shape[1] - 1
    # Batch last: every slice below is then contiguous along it, and buffers are reused, since fresh ones
    # cost more than the arithmetic.
    rest = terms.unary.diff(dim=1).permute(1, 2, 3, 0).contiguous()  # (k, n, n, B), cost minus flow
    borders = [
        _Borders(rest, weight.permute(1, 2, 0), axis, parity)
        for axis, weight in ((1, terms.down), (2, terms.right))
        for parity in range(min(2, n - 1))
    ]
    for _ in range(8 + 2 * n if sweeps is None else sweeps):
        for group in borders:
            group.relax(RELAXATION / (2 * k))
    return (rest < 0).sum(dim=0).permute(2, 0, 1).contiguous()


class _Borders:
    """Every second border along one axis, and the flows (k, k, ., ., B) from node p before to node q after.

    The bounds are the capacities of `puzzle_exact`: w both ways for p = q, else 2 w from the higher node.
    `before` and `after` are views of `rest`.
    """

    def __init__(self, rest: Tensor, weight: Tensor, axis: int, parity: int) -> None:
        k = len(rest)
        weight = weight.narrow(axis - 1, parity, weight.shape[axis - 1] - parity)
        weight = (weight[::2] if axis == 1 else weight[:, ::2]).contiguous() / k**2
        last = parity + 2 * weight.shape[axis - 1]
        spans = slice(parity, last, 2), slice(parity + 1, last, 2)
        self.before, self.after = (rest[:, s] if axis == 1 else rest[:, :, s] for s in spans)
        p = torch.arange(k, device=rest.device)
        times = (1 + (p[:, None] != p)).to(rest.dtype)[:, :, None, None, None]
        above, below = ((p[:, None] >= p), (p[:, None] <= p))
        self.most = times * above[:, :, None, None, None] * weight
        self.least = -(times * below[:, :, None, None, None] * weight)
        self.flow, self.spare = torch.zeros_like(self.most), torch.empty_like(self.most)

    def relax(self, step: float) -> None:
        """One over-relaxed step of these flows towards evening out `rest`, within their bounds."""
        new, change = self.spare, self.flow
        torch.sub(self.after[None], self.before[:, None], out=new)
        torch.add(self.flow, new, alpha=step, out=new)
        torch.clamp(new, self.least, self.most, out=new)
        torch.sub(new, self.flow, out=change)
        for q in range(len(new)):
            self.before += change[:, q]
            self.after -= change[q]
        self.flow, self.spare = new, change
