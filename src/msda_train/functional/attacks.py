"""Images changed a little so that a network errs: functions of (model, x, y, ball).

FGSM: Goodfellow et al., ICLR 2015, arXiv:1412.6572. I-FGSM: Kurakin et al., arXiv:1607.02533. PGD: Madry et
al., ICLR 2018, arXiv:1706.06083. `model` maps x (B, C, H, W) to logits (B, K) and is in evaluation mode; only
the gradient of the input is taken, parameters keep no gradient. `loss` maps logits and y (B,) to a sum over
the batch, so that a sample's gradient does not depend on its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.core.randomness import Rng

NORMS = ("linf", "l2")
Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """0-d: the sum over the batch, nats, of logits (B, K) and labels y (B,)."""
    return F.cross_entropy(logits, y, reduction="sum")


@dataclass(frozen=True)
class Ball:
    """Where an adversarial image may lie: at most `eps` from the image in `norm`, each value in [low, high].

    low and high None: no range, as some papers' scripts do in normalised space. Images, gradients and what
    the methods give back are (B, C, H, W).
    """

    eps: float
    norm: str = "linf"
    low: float | None = 0.0
    high: float | None = 1.0

    def project(self, x: Tensor, moved: Tensor) -> Tensor:
        """The nearest point of the ball around x to `moved`, then of the range: as x lies in the range, the
        clamp only brings it nearer to x, and both hold."""
        change = moved - x
        if self.norm == "linf":
            change = change.clamp(-self.eps, self.eps)
        else:
            change = change * (self.eps / _length(change).clamp(min=self.eps)) if self.eps > 0 else 0 * change
        return self.within(x + change)

    def within(self, x: Tensor) -> Tensor:
        """x clamped to the range."""
        return x if self.low is None and self.high is None else x.clamp(self.low, self.high)

    def direction(self, gradient: Tensor) -> Tensor:
        """The change of norm 1 along which a linear loss grows most; 0 where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        tiny = torch.finfo(gradient.dtype).tiny
        # By the largest value first: squares of the tiny gradients of a sure network would be 0.
        scaled = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=tiny)
        return scaled / _length(scaled).clamp(min=tiny)

    def anywhere(self, x: Tensor, rng: Rng) -> Tensor:
        """A uniform draw from the ball around each x, clamped to the range."""
        if self.norm == "linf":
            return self.within(x + self.eps * _drawn(2 * rng.random(x.shape, dtype=np.float32) - 1, x))
        radius = rng.random(len(x)) ** (1 / x[0].numel())
        return self.within(x + self.eps * _unit(x, rng) * _drawn(radius, x).view(-1, 1, 1, 1))

    def noise(self, x: Tensor, rng: Rng) -> Tensor:
        """x with random noise of the attack's own size: every value moved by +-eps, or the image by eps in a
        random direction; clamped to the range."""
        if self.norm == "linf":
            return self.within(x + self.eps * _drawn(2 * rng.integers(0, 2, x.shape, dtype=np.int8) - 1, x))
        return self.within(x + self.eps * _unit(x, rng))

    def check(self, x: Tensor, moved: Tensor) -> None:
        """RuntimeError where `moved` left the ball or the range by more than rounding."""
        change = moved - x
        size = change.abs().amax(dim=(1, 2, 3)) if self.norm == "linf" else _length(change)
        bad = (~(size <= self.eps + 1e-5 * max(1.0, self.eps))).any()  # NaN is no size
        if self.low is not None:
            bad = bad | (moved < self.low).any()
        if self.high is not None:
            bad = bad | (moved > self.high).any()
        if bool(bad):
            raise RuntimeError(
                f"an attack left its ball: {float(size.max())} of eps {self.eps} in {self.norm}"
            )


def input_gradient(model: Model, x: Tensor, y: Tensor, loss: Loss = cross_entropy) -> Tensor:
    """(B, C, H, W) gradient of each sample's loss in its own pixels."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(model(x), y), x)
    return gradient


def fgsm(model: Model, x: Tensor, y: Tensor, ball: Ball, *, loss: Loss = cross_entropy) -> Tensor:
    """One step of size eps along the gradient: x + eps * sign(gradient) for linf. x (B, C, H, W), y (B,)."""
    return ifgsm(model, x, y, ball, steps=1, step_size=ball.eps, loss=loss)


def ifgsm(
    model: Model,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    loss: Loss = cross_entropy,
) -> Tensor:
    """(B, C, H, W): `steps` steps from x itself, each projected to the ball and clamped to the range."""
    moved = _ascend(model, x, x, y, ball, steps, step_size, loss)
    ball.check(x, moved)
    return moved


def pgd(
    model: Model,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    rng: Rng,
    restarts: int = 1,
    loss: Loss = cross_entropy,
    checked: bool = True,
) -> Tensor:
    """The same from random points of the ball; of `restarts` tries each sample keeps its worst.

    Worst: the network errs; among equals, the larger loss (cross-entropy, whatever `loss` is climbed).
    checked: whether to wait for the outcome and raise RuntimeError where it left the ball.
    """
    best = _ascend(model, x, ball.anywhere(x, rng), y, ball, steps, step_size, loss)
    for _ in range(restarts - 1):
        other = _ascend(model, x, ball.anywhere(x, rng), y, ball, steps, step_size, loss)
        best = torch.where(_worse(model, other, best, y)[:, None, None, None], other, best)
    if checked:
        ball.check(x, best)
    return best


def _ascend(
    model: Model, x: Tensor, start: Tensor, y: Tensor, ball: Ball, steps: int, step_size: float, loss: Loss
) -> Tensor:
    moved = start
    for _ in range(steps):
        gradient = input_gradient(model, moved, y, loss)
        moved = ball.project(x, moved + step_size * ball.direction(gradient))
    return moved


def _worse(model: Model, other: Tensor, best: Tensor, y: Tensor) -> Tensor:
    """(B,) bool: `other` is worse for the network than `best`."""
    with torch.no_grad():
        (wrong, loss), (wrong_best, loss_best) = (_damage(model(images), y) for images in (other, best))
    return (wrong & ~wrong_best) | ((wrong == wrong_best) & (loss > loss_best))


def _damage(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    own = logits.gather(1, y[:, None])
    wrong = (logits >= own).sum(dim=1) != 1  # a tie is an error, as in metrics.error_count
    return wrong, F.cross_entropy(logits, y, reduction="none")


def _length(change: Tensor) -> Tensor:
    """(B, 1, 1, 1) Euclidean length of each sample's change."""
    return change.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def _unit(x: Tensor, rng: Rng) -> Tensor:
    """Random directions of length 1, in the shape of x."""
    drawn = _drawn(rng.standard_normal(x.shape, dtype=np.float32), x)
    return drawn / _length(drawn)


def _drawn(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(like.device, non_blocking=True)
