"""Who is mixed with whom, where and how much: `Mix`, the value that methods plan and models apply."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.core.gradient import zeroed
from msda_train.core.origin import Origin
from msda_train.core.pixels import Box, blend, blend_two, paste
from msda_train.core.randomness import Rng

NOWHERE = -1  # a depth that no stage has: the batch stays as it is
LOOKED_UP = 1024  # classes whose rows are kept, 4 MB of them: one operation instead of three
Rows = tuple[Tensor, ...]  # tensors (B, ...), or (1, ...) where all samples of a batch share one
Criterion = Callable[[Tensor, Tensor], Tensor]  # logits and soft labels (B, K) float32 to the mean loss, 0-d


@dataclass(frozen=True)
class OwnLoss:
    """A loss that asks for more than logits and soft labels.

    of: `of(logits, target, rows, network, criterion)`, the 0-d mean over the samples at hand: logits (B, K)
    float32, their soft target (B, K), `rows` of the same samples, the network as built, which may have kept
    something of this very forward pass, and the recipe's criterion. It is recorded and replayed, so only
    tensors among its arguments may change from step to step.
    rows: see `Rows`.
    name: tells recordings apart; the `repr` of the method.
    """

    of: Callable[[Tensor, Tensor, Rows, nn.Module, Criterion], Tensor]
    rows: Rows = ()
    name: str = ""

    def asking(self, network: nn.Module, criterion: Criterion) -> Criterion:
        """The loss of logits and soft labels alone."""
        return lambda logits, target: self.of(logits, target, self.rows, network, criterion)

    def of_rows(self, chosen: slice) -> "OwnLoss":
        """The same for some of the samples."""
        return replace(self, rows=tuple(t[chosen] if len(t) > 1 else t for t in self.rows))


@dataclass(frozen=True)
class Mix:
    """One batch's plan. B batch size, H x W pixels, K classes. Examples are pictures (B, C, H, W) or of any
    other shape (B, ...), which a mask of one weight for each fits.

    perm: (B,) int64, partner of each sample. Rows of a batch beyond B are partners only.
    lam: (B,) or (1,) float32, label weight of the sample itself.
    mask: (B|1, 1, H|1, W|1) float32, pixel weight of the sample itself; for other shapes (B|1, 1, 1, 1).
    depth: 0 for pixels, k for the input of the model's stage k, NOWHERE for none.
    sources: (own, other) where they are not (h, h[perm]).
    shares: (B, B) float32 label weights, where lam does not say them: a sample has several partners, and rows
        sum to 1; or, SnapMix, those of both images do not.
    box: where the host knows that the mask is 0 in this box, the same for all, and 1 outside: the edges.
    own: (B,) int64, which example a sample begins with, where that is not its own row: B may be more than the
        batch has, so that an example is seen twice.
    loss: what the batch is trained with, where that is more than the criterion of logits and labels.
    blocked: whether what lies before the mixed stage gets a gradient of zero in this step.
    """

    perm: Tensor
    lam: Tensor
    mask: Tensor
    depth: int = 0
    sources: tuple[Tensor, Tensor] | None = None
    shares: Tensor | None = None
    box: Box | None = None
    own: Tensor | None = None
    loss: OwnLoss | None = None
    blocked: bool = False

    @property
    def key(self) -> Any:
        """What tells apart recordings of networks that mix, besides the plan's tensors."""
        return (self.depth, "blocked") if self.blocked else self.depth

    @classmethod
    def identity(cls, x: Tensor) -> "Mix":
        """No mixing this step, without a branch in the step."""
        one = torch.ones(1, device=x.device)
        return cls(torch.arange(len(x), device=x.device), one, one.view(1, 1, 1, 1), depth=NOWHERE)

    def apply(self, h: Tensor, owned: bool = False) -> Tensor:
        """Mixed pixels or features mask * own + (1 - mask) * other, of the shape (B, ...) and in the type of
        `h`, as `core/pixels.py` says. `h` itself is left alone, unless it is `owned`: then it may be
        overwritten."""
        if self.blocked:
            h = zeroed(h)
        if self.sources is not None:
            return blend_two(*self.sources, self.mask).to(h.dtype)
        if self.own is not None:
            return blend_two(self._begins(h), h[self.perm], self.mask).to(h.dtype)
        if self.box is not None and not torch.compiler.is_compiling():  # each box would be compiled anew
            return paste(h, self.perm, self.box, owned)
        return blend(h, self.perm, self.mask, owned)

    def pixels(self, x: Tensor, owned: bool = False) -> Tensor:
        """Mixed examples (B, ...) where this plan mixes those, else x as it is.
        owned: x may be overwritten."""
        return self.apply(x, owned) if self.depth == 0 else x

    def _begins(self, rows: Tensor) -> Tensor:
        """Of the rows of a batch, those that the samples begin with."""
        if self.own is not None:
            return rows.index_select(0, self.own)
        return rows if len(rows) == len(self.perm) else rows[: len(self.perm)]

    def target(self, y: Tensor, classes: int) -> Tensor:
        """(B, K) float32 soft labels lam * onehot(y) + (1 - lam) * onehot(y[perm]), or shares @ onehot(y)."""
        own = one_hot(y, classes)
        if self.shares is not None:
            return (self.shares[:, :, None] * own).sum(dim=1)  # no matmul: autocast would round it
        return own.index_select(0, self.perm).lerp_(self._begins(own), self.lam.unsqueeze(1))

    def first(self, count: int) -> "Mix":
        """The plan for the first `count` samples alone; their partners may be any of the batch."""
        lam, mask = self.lam[:count], self.mask[:count]
        sources = self.sources and (self.sources[0][:count], self.sources[1][:count])
        own = self.own if self.own is None else self.own[:count]
        loss = self.loss and self.loss.of_rows(slice(count))
        first = replace(self, perm=self.perm[:count], lam=lam, mask=mask)
        return replace(first, sources=sources, own=own, loss=loss)


def one_hot(y: Tensor, classes: int) -> Tensor:
    """(B, K) float32 of labels y (B,). Raises IndexError or RuntimeError where one is not below K; on CUDA
    the device stops later."""
    if classes > LOOKED_UP:
        return torch.zeros(y.shape[0], classes, device=y.device).scatter_(1, y.unsqueeze(1), 1.0)
    return _unit_rows(classes, y.device).index_select(0, y)


def soft_labels(own: Tensor, other: Tensor, weight: Tensor, classes: int) -> Tensor:
    """(B, K) float32: weight (B|1,) of the label own (B,), the rest of the label other (B,)."""
    return torch.lerp(one_hot(other, classes), one_hot(own, classes), weight[:, None])


@cache
def _unit_rows(classes: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.eye(classes, device=device)


def picture_size(x: Tensor) -> tuple[int, int]:
    """(height, width) in pixels of pictures x (B, C, H, W); UserError where the examples are none."""
    if x.ndim != 4:
        raise not_pictures()
    return x.shape[2], x.shape[3]


def not_pictures() -> UserError:
    """What a method raises that cannot mix examples without height and width."""
    return UserError("method: this one needs pictures, and the data set has none; type method=mixup")


class Method(Protocol):
    """What a mixing method is: something that plans. Its fields are its options.

    One that needs more than its batch also is a `Prepares`, or an `OfOrigin`.
    """

    def plan(self, x: Tensor, y: Tensor, model: nn.Module | Any, rng: Rng) -> Mix:
        """The plan for one batch: x (B, C, H, W) normalised images, or examples of another shape, y (B,)
        labels, the model in training mode, and the generator of this step. Never writes into x. A method that
        needs pictures asks for their `picture_size`, which says so where they are none.

        Runs under the step's autocast after the gradients were cleared: a method that also learns from the
        clean batch calls backward() itself, and the step adds its own gradients."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A method that has to see the network or the training images before the first step."""

    def prepare(self, network: nn.Module, batches: Iterable[Tensor]) -> Method:
        """The method to train with.

        network: the one that will be trained; batches: all training images (B, C, H, W) in their stored
        order, normalised and not augmented, read only if they are iterated over. Runs under the run's
        autocast. Raises UserError where the method does not fit the network or the images.
        """
        ...


@runtime_checkable
class HasTeacher(Protocol):
    """A method that asks a trained network: a run with another teacher is another run."""

    def teacher_run(self) -> str | None:
        """Which finished run the teacher is, `fingerprint-content-seed`; None for one with a name of its own.
        Raises UserError where there is no such run."""
        ...


@runtime_checkable
class OfOrigin(Protocol):
    """A method that remembers the training images, or mixes what they were drawn from, and so has to know
    where those of a batch come from."""

    def at(self, origin: Origin) -> Method:
        """The method that plans the batch of this origin."""
        ...


@runtime_checkable
class Extends(Protocol):
    """A method that needs more of the network than its logits."""

    def extend(self, network: nn.Module, classes: int) -> None:
        """Makes the new `network` keep something of each forward pass, or gives it a second head, which is
        trained, saved and resumed with it (`models.second_head`). UserError where that is impossible."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A method that looks back at the step before. It remembers within an epoch: checkpoints lie between two,
    so nothing is saved."""

    def anew(self) -> Method:
        """The same method, which remembers nothing."""
        ...

    def remember(self, x: Tensor, target: Tensor, logits: Tensor) -> None:
        """What the network was trained on in this step, x (B, C, H, W) and target (B, K), and its answer, the
        logits (B, K) float32."""
        ...


@dataclass(frozen=True)
class Among:
    """Which training images may be the partner of one: those of its class (`same`), of the `other` classes or
    `all`; of these the `nearest` so many in pixel space, or, where that is None, each."""

    classes: str
    nearest: int | None = None


@runtime_checkable
class PicksPartners(Protocol):
    """A method that may want other partners than a batch has: where it does, a batch of B is followed by B
    more rows, the partners of the first B, in the same order, and the plan is for the first B."""

    def among(self) -> Among | None:
        """Whom they are drawn from; None: the partners are in the batch."""
        ...


@runtime_checkable
class Attends(Protocol):
    """A network with a class token that can tell what this token looks at.

    attend: the switch, off at first. attention: of the latest forward while it was on, (B, N) float32: the
    last block's attention of the class token to each of the N patches (row by row of the image), the mean
    over heads. A row as the softmax gives it: the class token's share of itself is left out, and the rest
    adds up to less than 1. Without a gradient.
    """

    attend: bool

    @property
    def attention(self) -> Tensor | None:
        """See the class; None before the first forward."""
        ...


def prepared(method: Method, network: nn.Module, batches: Iterable[Tensor]) -> Method:
    """`method` ready for training `network`; see `Prepares`."""
    return method.prepare(network, batches) if isinstance(method, Prepares) else method
