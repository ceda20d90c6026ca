"""One attack as an option: its numbers, its name in a row, and how it is run on a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng
from msda_train.functional import attacks, losses

WHERE = "probes.adversarial.attacks"
KINDS = ("fgsm", "ifgsm", "pgd")
SPACES = ("pixel", "normalised")
LOSSES = ("ce", "bce_softmax")

Number = float | str


@dataclass(frozen=True)
class Attack:
    """kind: fgsm; ifgsm, from the image itself; pgd, from random points of the ball.

    eps, step_size: numbers, or fractions as text, `8/255`; in pixels of [0, 1] and clamped to that range, or,
    where space is `normalised`, in units of the network's input without any clamp. step_size null: eps/steps;
    for pgd 2.5 eps/steps, with which Madry et al. cross the ball from wherever they start.
    loss: ce, or the bce_softmax that Manifold Mixup's script climbs.
    """

    kind: str
    eps: Number
    norm: str = "linf"
    space: str = "pixel"
    steps: int = 1
    step_size: Number | None = None
    restarts: int = 1
    loss: str = "ce"

    def __post_init__(self) -> None:
        for option, known in (
            ("kind", KINDS),
            ("norm", attacks.NORMS),
            ("space", SPACES),
            ("loss", LOSSES),
        ):
            checks.one_of(f"{WHERE}: {option}", getattr(self, option), known)
        checks.whole(f"{WHERE}: steps", self.steps, least=1)
        checks.whole(f"{WHERE}: restarts", self.restarts, least=1)
        eps = _number("eps", self.eps)
        if self.space == "pixel" and self.norm == "linf" and eps > 1:
            raise UserError(f"{WHERE}: eps={self.eps}: pixels lie in [0, 1]; type eps={self.eps}/255")
        if self.step_size is not None:
            _number("step_size", self.step_size)
        if self.kind == "fgsm" and (self.steps != 1 or self.step_size is not None):
            raise UserError(f"{WHERE}: fgsm is one step of size eps; for more of them type kind=ifgsm")
        if self.kind != "pgd" and self.restarts != 1:
            raise UserError(f"{WHERE}: restarts={self.restarts}: only pgd starts at random; type kind=pgd")

    @property
    def ball(self) -> attacks.Ball:
        """Where the adversarial images may lie, in the attack's space."""
        low, high = (0.0, 1.0) if self.space == "pixel" else (None, None)
        return attacks.Ball(_number("eps", self.eps), self.norm, low, high)

    @property
    def step(self) -> float:
        """The size of one step."""
        if self.step_size is not None:
            return _number("step_size", self.step_size)
        return (2.5 if self.kind == "pgd" else 1.0) * self.ball.eps / self.steps

    @property
    def where(self) -> str:
        """`linf_pixel_8_255`: the ball alone, for what depends on nothing else."""
        return f"{self.norm}_{self.space}_{_word(self.eps)}"

    @property
    def name(self) -> str:
        """`pgd_linf_pixel_8_255_steps10_step2_255`: every option that is not its default."""
        parts = [self.kind, self.where]
        parts += [f"steps{self.steps}"] if self.kind != "fgsm" else []
        parts += [f"step{_word(self.step_size)}"] if self.step_size is not None else []
        parts += [f"restarts{self.restarts}"] if self.restarts > 1 else []
        parts += [self.loss] if self.loss != "ce" else []
        return "_".join(parts)

    @property
    def columns(self) -> dict[str, Any]:
        """Its options as columns of a record: sizes as numbers, what is not set left out."""
        found: dict[str, Any] = {"attack": self.kind, "norm": self.norm, "space": self.space}
        found |= {"eps": self.ball.eps, "steps": self.steps, "restarts": self.restarts, "loss": self.loss}
        return found if self.step_size is None else found | {"step_size": self.step}

    def outdoes(self, fgsm: "Attack") -> bool:
        """Whether it should do no less harm than `fgsm`: many steps, which can reach the edge of its ball."""
        way = 2 if self.kind == "pgd" else 1  # its start may lie on the far side
        reaches = self.steps * self.step >= way * self.ball.eps * (1 - 1e-9)
        same = self.where == fgsm.where and self.loss == fgsm.loss
        return same and reaches and self.kind != "fgsm" and self.steps > 1

    def run(self, model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, rng: Rng) -> Tensor:
        """Adversarial images of x (B, C, H, W) with labels y (B,). x, they and what `model` takes are in the
        attack's space."""
        loss = bce_softmax if self.loss == "bce_softmax" else attacks.cross_entropy
        if self.kind == "fgsm":
            return attacks.fgsm(model, x, y, self.ball, loss=loss)
        steps, size = self.steps, self.step
        if self.kind == "ifgsm":
            return attacks.ifgsm(model, x, y, self.ball, steps=steps, step_size=size, loss=loss)
        tries = self.restarts
        return attacks.pgd(
            model, x, y, self.ball, steps=steps, step_size=size, rng=rng, restarts=tries, loss=loss
        )


def attack_of(node: Any) -> Attack:
    """The attack that a config's mapping describes; UserError names an option that there is not."""
    if isinstance(node, Attack):
        return node
    if not isinstance(node, Mapping):
        raise UserError(f"{WHERE}: {node} is no attack; type [{{kind: fgsm, eps: 8/255}}]")
    known = [field.name for field in fields(Attack)]
    for key in node:
        checks.one_of(f"{WHERE}: option", key, known)
    if not {"kind", "eps"} <= set(node):
        raise UserError(f"{WHERE}: an attack needs kind and eps; type [{{kind: fgsm, eps: 8/255}}]")
    return Attack(**node)


def bce_softmax(logits: Tensor, y: Tensor) -> Tensor:
    """`losses.bce_softmax` of the labels y (B,), as a sum over the batch."""
    target = F.one_hot(y, logits.shape[1]).to(logits.dtype)
    return losses.bce_softmax(logits, target) * len(y)


def _number(option: str, value: Number | None) -> float:
    try:
        number = float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError):
        number = None
    if number is None:
        raise UserError(f"{WHERE}: {option}={value}: must be a number or a fraction; type {option}=8/255")
    checks.non_negative(f"{WHERE}: {option}", number)
    return float(number)


def _word(value: Number) -> str:
    """8/255 as 8_255, 0.03 as 0.03."""
    text = value if isinstance(value, str) else f"{value:g}"
    return text.replace(" ", "").replace("/", "_")
