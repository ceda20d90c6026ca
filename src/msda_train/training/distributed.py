"""One run on several processes, each with a device of its own: what each of them computes.

Every process holds all images and draws the plan of the whole batch, from the same (seed, stream, epoch,
step); through the network go only its own rows, so that together they do what one process would do:

- Pixels: own rows of the mixed batch; partners are at hand. Nothing is sent.
- Mixing at a deeper stage: the partners' features come from the processes that have them, and their gradients
  go back (`Gather`). Sent: the feature maps of one batch, forward and backward.
- A method that asks the network, for a saliency or an attack, sees a `Whole` one: it hands in the batch, each
  process computes its rows. Sent: logits, and gradients of the images. What a method computes besides (a
  teacher's attention, a solver) every process computes for the whole batch.
- Layers that look at a whole batch, or draw random numbers for it: `training.divided_layers`.
- Gradients are averaged by DistributedDataParallel; each loss is weighted by its rows, so that the average is
  the gradient of the batch's mean, however uneven the shares.

Sums are formed in another order than on one device, so a step agrees within rounding, not bit for bit.
"""

from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from msda_train.core.errors import UserError
from msda_train.core.gradient import zeroed
from msda_train.core.mix import Criterion, Mix, PicksPartners
from msda_train.models.batchnorm import shares

# DistributedDataParallel's word for: before each forward pass the first process's buffers go to the others.
# It was renamed in torch 2.14. Here buffers are the same everywhere by the end of a step.
_KNOWN = signature(DistributedDataParallel).parameters
QUIET: Any = {"forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers": False}


@dataclass(eq=False)
class Team:
    """The processes of one run, seen from one of them; the first leads: it alone writes and speaks.

    size, rank: how many there are, and which this is; device: that of this one; joined: whether they are
    connected, else this one is alone; batch: images of the whole batch at hand.
    """

    size: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    joined: bool = False
    batch: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def called(self) -> bool:
        """Whether there is something to train; a follower waits here until the leader knows."""
        return True

    def dismissed(self) -> None:
        """Lets followers go who wait for nothing."""

    def rows(self, count: int) -> slice:
        """Which of `count` rows are this process's."""
        if not self.joined:
            return slice(0, count)
        sizes = shares(count, self.size)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def share(self, mix: Mix, x: Tensor, target: Tensor) -> tuple[Mix, Tensor, Tensor]:
        """Of a plan for x (B, C, H, W) with target (B, K) what this process does: a plan, images, target."""
        if not self.joined:
            return mix, x, target
        count = len(mix.perm)  # rows beyond are partners only
        self.batch, rows = count, self.rows(count)
        if mix.depth > 0 and count < len(x):
            raise _too_far()

        def own(values: Tensor) -> Tensor:
            return values[rows] if values.dim() and len(values) > 1 else values

        perm, lam, mask = mix.perm[rows], own(mix.lam), own(mix.mask)
        loss = mix.loss and mix.loss.of_rows(rows)
        begun = x[rows if mix.own is None else mix.own[rows]]
        if mix.sources is not None:
            sources = (own(mix.sources[0]), own(mix.sources[1]))
            return Mix(perm, lam, mask, mix.depth, sources, loss=loss), begun, target[rows]
        if mix.depth == 0:
            return Mix(perm, lam, mask, sources=(begun, x[perm]), loss=loss), begun, target[rows]
        deeper = _Deeper(perm, lam, mask, mix.depth, loss=loss, blocked=mix.blocked, whole=mix, team=self)
        return deeper, begun, target[rows]

    def seen(self, network: nn.Module) -> nn.Module:
        """What methods see in place of the `network`."""
        return Whole(network, self) if self.joined else network

    def weighted(self, criterion: Criterion) -> Criterion:
        """The mean loss over own rows, such that the mean over all processes is that of the batch."""
        if self.size == 1:
            return criterion
        return lambda logits, target: criterion(logits, target) * (self.size * len(target) / self.batch)

    def synchronised(self, network: nn.Module) -> nn.Module:
        """`network`, whose gradients are averaged over all processes while they are computed."""
        return DistributedDataParallel(network, **QUIET) if self.joined else network

    @property
    def turn(self) -> slice:
        """This process's own of a list of batches."""
        return slice(self.rank, None, self.size) if self.joined else slice(None)

    def gather(self, own: Tensor, count: int) -> Tensor:
        """All `count` rows, of which this process has `own`. No gradients; see `Gather`."""
        sizes = shares(count, self.size)
        padded = _dense(F.pad(own, beside(own, 0, max(sizes) - len(own))))
        pieces = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(pieces, padded)
        return torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])

    def gathered(self, own: Tensor, count: int) -> Tensor:
        """`gather`, or what is there where this process is alone."""
        return self.gather(own, count) if self.joined else own

    def total(self, values: Tensor, group: Any = None) -> Tensor:
        """The sum over all processes, or those of a group; a new tensor."""
        values = _dense(values).clone(memory_format=torch.preserve_format)
        if self.joined:
            dist.all_reduce(values, group=group)
        return values

    def told(self, word: bool) -> bool:
        """The leader's word."""
        if self.joined:
            said = torch.tensor(float(word), device=self.device)
            dist.broadcast(said, 0)
            return bool(said)
        return word


ALONE = Team()


def _dense(values: Tensor) -> Tensor:
    """In the one order of memory that all processes use: where they differed, numbers would be sent to the
    wrong places."""
    format = torch.channels_last if values.dim() == 4 else torch.contiguous_format
    return values.contiguous(memory_format=format)


def beside(values: Tensor, before: int, after: int) -> tuple[int, ...]:
    """F.pad's word for so many rows of zeros before and behind `values` (n, ...)."""
    return (*((0, 0) * (values.dim() - 1)), before, after)


class Gather(torch.autograd.Function):
    """All rows (B, ...) from everybody's own; back: the sum of what everybody's loss says of the own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, team: Team, count: int) -> Tensor:
        """own (n, ...), of `count` rows in all."""
        ctx.team, ctx.rows = team, team.rows(count)
        return team.gather(own, count)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Of all rows to the own ones."""
        return ctx.team.total(grads[0])[ctx.rows], None, None


class Own(torch.autograd.Function):
    """Own rows of a whole batch; back: everybody's gradients, of which `Gather` made `size` times too much
    for the loss that all of them computed alike."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, team: Team) -> Tensor:
        """whole (B, ...) -> (n, ...)."""
        ctx.team, ctx.count = team, len(whole)
        return whole[team.rows(len(whole))]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Of the own rows to all."""
        return ctx.team.gather(grads[0], ctx.count) / ctx.team.size, None


class Whole(nn.Module):
    """The network as a method sees it: whole batches in, all logits out, gradients of all images back.

    A loss of those logits leaves in the parameters what DistributedDataParallel, averaging, makes its
    gradient of.
    """

    def __init__(self, network: nn.Module, team: Team) -> None:
        super().__init__()
        self.inner, self.team, self.training = network, team, network.training

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, K)."""
        self.team.batch = len(x)
        made: Tensor = Gather.apply(self.inner(Own.apply(x, self.team)), self.team, len(x))
        return made

    def __getattr__(self, name: str) -> Any:
        """What else somebody looks at is the network's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


@dataclass(frozen=True)
class _Deeper(Mix):
    """Own rows of a plan for a deeper stage, whose partners may be anywhere."""

    whole: Mix | None = None  # the plan of the batch
    team: Team = ALONE

    @property
    def key(self) -> Any:
        """See `Mix`."""
        return super().key if self.whole is None else self.whole.key

    def apply(self, h: Tensor, owned: bool = False) -> Tensor:
        """Own features (n, C, H, W), mixed. A plan of another class may do more than blend, and look at all
        images at once (AlignMixup): it is carried out for the whole batch, and own rows are kept."""
        if self.blocked:
            h = zeroed(h)
        everybody: Tensor = Gather.apply(h, self.team, self.team.batch)
        if self.whole is not None and type(self.whole) is not Mix:
            return self.whole.apply(everybody)[self.team.rows(self.team.batch)]
        sources = (h, everybody.index_select(0, self.perm))
        return Mix(self.perm, self.lam, self.mask, sources=sources).apply(h)


def _too_far() -> UserError:
    return UserError(
        "method.pairing: partners from all training images cannot be mixed at a depth on several devices; "
        "type method.pairing=permutation, or train on one"
    )


def check_partners(team: Team, method: Any) -> None:
    """UserError where `method` would mix at a depth with partners that no process has the features of. What
    somebody's own method will do, only its plans say (`Team.share`)."""
    far = isinstance(method, PicksPartners) and method.among() is not None
    if team.size > 1 and far and any(getattr(method, "depths", ())):
        raise _too_far()


def check_alone(team: Team, method: Any) -> None:
    """UserError where `method` needs one device (its `alone` is true), and there are several."""
    if team.size > 1 and getattr(method, "alone", False):
        name = type(method).__name__
        raise UserError(f"devices={team.size}: {name} works on one device only; type devices=1")


def check_shares(team: Team, parts: int, batch_size: int, images: int) -> None:
    """UserError where the batches of an epoch of so many `images` cannot be shared."""
    if parts and parts % team.size and team.size % parts:
        raise UserError(
            f"recipe.batchnorm_parts={parts}: devices={team.size} cannot share them; type devices={parts}"
        )
    last = images % batch_size
    smallest = last if last > 1 else min(batch_size, images)
    if smallest < team.size:
        raise UserError(
            f"devices={team.size}: the smallest batch of an epoch has {smallest} images, fewer than devices; "
            f"type devices={smallest}, or another recipe.batch_size than {batch_size}"
        )
    if smallest < 2 * parts:
        raise UserError(
            f"recipe.batchnorm_parts={parts}: the smallest batch of an epoch has {smallest} images, and each "
            f"part needs two; type another recipe.batch_size than {batch_size}"
        )
