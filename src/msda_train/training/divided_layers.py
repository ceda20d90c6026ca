"""Layers of a network that is trained by several processes, each with its share of a batch.

- BatchNorm: one mean and variance over all processes, or for each of `recipe.batchnorm_parts`. Running
  statistics are then those of the first part, as torch.nn.DataParallel keeps them.
- Layers that draw (dropout, dropped branches) draw for the whole batch and keep their rows: the very draws of
  one process. They take the whole batch's time.

A layer of somebody's own that does either is not known here.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from msda_train.models.batchnorm import batch_norms, changed, normalise_parts, shares
from msda_train.models.dropblock import DropSquares
from msda_train.models.shake_shake import Coefficients
from msda_train.models.shakedrop import Shake
from msda_train.models.stochdepth import DropBranch
from msda_train.models.vision_transformer import DropPath
from msda_train.training.distributed import Team, beside

# Modules that draw random numbers in training.
DRAWS = (_DropoutNd, Coefficients, DropBranch, DropPath, DropSquares, Shake, StochasticDepth)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Drawn(nn.Module):
    """A layer that draws, applied to the whole batch: zeros stand for the rows of others."""

    team: Team

    def forward(self, h: Tensor) -> Tensor:
        """Own rows (n, ...) -> the same shape."""
        if not (self.training and self.team.joined):
            made: Tensor = super().forward(h)
            return made
        count, rows = self.team.batch, self.team.rows(self.team.batch)
        made = super().forward(F.pad(h, beside(h, rows.start, count - rows.stop)))
        return made[rows]


class _Total(torch.autograd.Function):
    """The sum over the processes of a group; back: the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, team: Team, group: Any) -> Tensor:
        """The same shape."""
        ctx.team, ctx.group = team, group
        return team.total(values, group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The same shape."""
        return ctx.team.total(grads[0], ctx.group), None, None


class Synchronised(_BatchNorm):
    """BatchNorm by the mean and variance of a part of the batch that lies on several processes, `group`.

    torch.nn.SyncBatchNorm, which takes its place on CUDA, knows neither CPUs nor padded channels.
    """

    team: Team
    group: Any
    part_size: Callable[[], int]

    def forward(self, x: Tensor) -> Tensor:
        """Own rows (n, C, ...) -> the same shape; channels behind those that have parameters stay zero."""
        if not (self.training and self.team.joined):
            made: Tensor = super().forward(x)
            return made
        h, over = x.float(), [0, *range(2, x.dim())]
        shape, missing = (1, -1, *[1] * (x.dim() - 2)), x.shape[1] - self.num_features
        count = self.part_size() * x[0, 0].numel()
        mean = _Total.apply(h.sum(over), self.team, self.group) / count
        centred = h - mean.view(shape)
        var = _Total.apply(centred.square().sum(over), self.team, self.group) / count
        self._remember(mean.detach(), var.detach() * (count / (count - 1)))
        factor = (var + self.eps).rsqrt()
        if self.affine:
            factor = factor * F.pad(self.weight, (0, missing))
        made = centred * factor.view(shape)
        if self.affine:
            made = made + F.pad(self.bias, (0, missing)).view(shape)
        return made.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean[: self.num_features], factor)
        self.running_var.lerp_(var[: self.num_features], factor)


def divide(network: nn.Module, parts: int, team: Team, optimizer: torch.optim.Optimizer) -> None:
    """Makes the layers of `network` that look at a whole batch, or draw for it, right for a team, and its
    BatchNorm for `parts` of the batch (0: none)."""
    for module in [each for each in network.modules() if team.joined and isinstance(each, DRAWS)]:
        changed(module, _Drawn, team=team)
    if parts and parts % team.size == 0:
        here, first = parts // team.size, parts // team.size * team.rank
        if here > 1:
            normalise_parts(
                network, lambda n: shares(team.batch if team.joined else n, parts)[first : first + here]
            )
    elif team.joined:
        across = team.size // (parts or 1)
        group = dist.new_subgroups(across)[0] if parts else None
        for norm in list(batch_norms(network)):
            if team.device.type == "cuda" and type(norm) in NORMS:
                changed(norm, nn.SyncBatchNorm, process_group=group)
                continue
            size = lambda: shares(team.batch, parts or 1)[team.rank // across]  # noqa: E731
            changed(norm, Synchronised, team=team, group=group, part_size=size)
    if parts and team.joined:
        optimizer.register_step_post_hook(lambda *_: _share_statistics(network))


@torch.no_grad()
def _share_statistics(network: nn.Module) -> None:
    """Running statistics become everybody's: the leader's, which are of the batch's first part."""
    known = [norm for norm in batch_norms(network) if norm.running_mean is not None]
    values = [each for norm in known for each in (norm.running_mean, norm.running_var) if each is not None]
    if values:
        flat = torch.cat(values)
        dist.broadcast(flat, 0)
        torch._foreach_copy_(values, list(flat.split([len(each) for each in values])))
