"""A plan that moves the features of one image to the places of the other's before it mixes them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from msda_train.core.errors import UserError
from msda_train.core.exact import exact
from msda_train.core.mix import Mix

STOP = 0.1  # mean over the batch of the sum of changes of a dual; then no more rounds count


@dataclass(frozen=True)
class AlignedMix(Mix):
    """moved: whose features are moved, `own` or `partner`; eps, rounds: of `sinkhorn`."""

    moved: str = "partner"
    eps: float = 0.1
    rounds: int = 100

    @property
    def key(self) -> object:
        """See `Mix`."""
        return self.depth, self.moved

    def apply(self, h: Tensor, owned: bool = False) -> Tensor:
        """Mixed features of the shape (B, C, H, W) of h, which is left alone and need not be square."""
        if h.ndim != 4:
            raise UserError("method=alignmix: needs maps of features to align; type model=preactresnet18")
        own, other = h.flatten(2).float(), h[self.perm].flatten(2).float()
        with torch.no_grad(), exact(h):
            plan = sinkhorn(own.transpose(1, 2), other.transpose(1, 2), self.eps, self.rounds)
            plan = plan * plan.shape[1]
        with exact(h):
            if self.moved == "partner":
                other = other @ plan.transpose(1, 2)
            else:
                own = own @ plan
        weight = self.mask.view(-1, 1, 1)
        mixed = torch.lerp(other, own, weight).view(h.shape).to(h.dtype)
        return mixed.contiguous(memory_format=torch.channels_last)


def sinkhorn(a: Tensor, b: Tensor, eps: float, rounds: int) -> Tensor:
    """The entropic optimal transport plan (B, n, m) between points a (B, n, C) and b (B, m, C) of equal
    weights, float32; squared distances as cost. Cuturi, NeurIPS 2013, in the log domain. Duals stay as they
    are once their mean change was below STOP: decided on the device, so all rounds take their time."""
    cost = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    u, v = a.new_zeros(a.shape[:2]), b.new_zeros(b.shape[:2])
    log_u, log_v = (torch.tensor(1.0 / n + 1e-8).log().item() for n in (a.shape[1], b.shape[1]))
    going = torch.ones((), dtype=torch.bool, device=a.device)

    def scaled() -> Tensor:
        return (u[:, :, None] + v[:, None, :] - cost) / eps

    for _ in range(rounds):
        before = u, v
        u = eps * (log_u - scaled().logsumexp(dim=2)) + u
        v = eps * (log_v - scaled().logsumexp(dim=1)) + v
        change = (u - before[0]).abs().sum(dim=1).mean()
        u, v = torch.where(going, u, before[0]), torch.where(going, v, before[1])
        going = going & (change >= STOP)
    return scaled().exp()
