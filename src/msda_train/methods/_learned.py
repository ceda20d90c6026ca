"""What the methods share that learn to mix: the momentum encoder, two heads, one optimizer, what is kept.

It is AutoMix's momentum pipeline (arXiv:2103.13027) as openmixup runs it for AutoMix, SAMix and AdAutoMix
(openmixup/models/classifiers/automix.py, adautomix.py, hooks/momentum_hook.py). The encoder k is a
copy of the classifier q: its weights follow as k <- m k + (1 - m) q after each step, its BatchNorms keep the
statistics of its own passes. q has two linear heads: `one` for clean images, `mix` for mixed ones, and so has
k. All is one loss there and one optimizer; here the classifier's optimizer has q and its `mix` head, which
the step trains, and ours, of the same kind and learning rate, has the mixer and `one`: the same updates.
- m rises from `momentum` to `end_momentum` by a half cosine over the run, which is held back in the first
  tenth: m = momentum there, then what the cosine over the whole run has reached. That is the published code.
- What the published numbers are of: per head the median of the last ten epochs, of k and q, and the best of
  these (openmixup's tools/summary/find_automix_val_median.py). In the two logs that are public (AutoMix, 200
  epochs, and AdAutoMix, 800, in JinXins/Adversarial-AutoMixup) that is k's `one` head, 6 to 8 points above
  q's: `tested=momentum` tests that. The learning rate ends at 0.05 for its sake: recipe.min_lr.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.learns import NewOptimizer
from msda_train.core.mix import Mix, not_pictures, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.schedules import cosine
from msda_train.models.batchnorm import batch_norms

HELD = 0.1  # of the run, in which the momentum does not rise yet


@dataclass(frozen=True)
class Learned:
    """Options of all. alpha: of lam ~ Beta(alpha, alpha); prob: of mixing, and of learning, a batch (ours);
    layer: the mixer sees the encoder's features before this stage; heads: two, as published, or one for all;
    tested: momentum or classifier; lam_margin: where lam is this near to 0 or 1, there is no mask but lam."""

    alpha: float = 2.0
    prob: float = 1.0
    layer: int = 3
    momentum: float = 0.999
    end_momentum: float = 0.999999
    heads: str = "two"
    tested: str = "momentum"
    lam_margin: float = 0.08
    upsample: str = "nearest"

    alone: ClassVar[bool] = True  # on several devices each process would learn by itself

    def __post_init__(self) -> None:
        checks.positive("method.alpha", self.alpha)
        checks.fraction("method.prob", self.prob)
        checks.whole("method.layer", self.layer, least=1)
        checks.fraction("method.momentum", self.momentum)
        checks.fraction("method.end_momentum", self.end_momentum)
        if self.end_momentum < self.momentum:
            raise UserError(
                f"method.end_momentum={self.end_momentum}: momentum rises from {self.momentum}; "
                f"type method.end_momentum={self.momentum} to keep it there"
            )
        checks.one_of("method.heads", self.heads, ("two", "one"))
        checks.one_of("method.tested", self.tested, ("momentum", "classifier"))
        checks.fraction("method.lam_margin", self.lam_margin)
        checks.one_of("method.upsample", self.upsample, ("nearest", "bilinear"))

    def learn(self, network: nn.Module, optimizer: NewOptimizer) -> "Learner":
        """See `msda_train.core.learns.Learns`."""
        return Learner(self, network, optimizer)

    def prepare(self, network: nn.Module, batches: Iterable[Tensor]) -> "Learner":
        """See `msda_train.core.mix.Prepares`: a mixer that has learned nothing and learns nothing."""
        return Learner(self, network, None)

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """One plan of such a mixer; see `msda_train.core.mix.Method`."""
        return self.prepare(model, ()).plan(x, y, model, rng)

    def mixer(self, channels: int) -> nn.Module:
        """What makes masks of feature maps of so many channels."""
        raise NotImplementedError

    def mixed(self, here: "Learner", x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """The plan, without gradients; where `here` is learning, also all that is learned of the batch."""
        raise NotImplementedError


class Learner:
    """One of them in training; see `msda_train.core.learns.Learning`. Without an optimizer, or given a model
    in evaluation mode, it only plans.

    Cost of a step besides the classifier's own: a pass of the clean batch through the encoder, a pass of the
    mixed one with a backward pass to its pixels, a pass of clean images through the classifier with its
    backward pass. Memory that stays: the encoder, two heads, the mixer; of learned weights the momentum too.
    """

    def __init__(self, options: Learned, network: nn.Module, optimizer: NewOptimizer | None) -> None:
        if all(p.dim() != 4 for p in network.parameters()):  # no convolution
            raise not_pictures()
        self.options = options
        linear = _last(network)
        self.encoder = copy.deepcopy(network).requires_grad_(False)  # its last layer is k's `one` head
        self.mix_head = copy.deepcopy(linear).requires_grad_(False)  # of k
        self.own_head = copy.deepcopy(linear)  # q's `one` head, where there are two
        if options.heads == "two":
            self.own_head.reset_parameters()
        self.mixer = options.mixer(self._channels()).to(linear.weight.device)
        self.optimizer = optimizer(self._learned()) if optimizer else None
        self.steps, self.done, self.learning = 0, 0.0, False

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        picture_size(x)
        if rng.random() >= self.options.prob:
            return Mix.identity(x)
        self.learning = self.optimizer is not None and model.training
        self.encoder.train(self.learning)
        if self.learning and self.steps == 0:  # there may have been epochs of ERM
            self._follow(model, 0.0)
        return self.options.mixed(self, x, y, model, rng)

    @torch.no_grad()
    def look(self, x: Tensor, again: int = 0) -> tuple[Tensor, Tensor]:
        """The encoder's maps (B, c, h, w) of clean x before `layer`, float32, and its logits (B, K) by the
        `mix` head. The stages behind are passed for these, and for their BatchNorms' statistics. `again`: see
        `_counted`."""
        with _counted(self.encoder, lambda m: 1 - (1 - m) ** (again + 2) / (1 - _last_share(m, again))):
            maps = _through(self.encoder, x, 0, self.options.layer)
            pooled = _pooled(self.encoder, maps, self.options.layer)
        return maps.float(), self.mix_head(pooled).float()

    def judged(self, x: Tensor, again: int = 0) -> Tensor:
        """The encoder's logits (B, K), float32, of mixed x by its `mix` head; gradients reach x."""
        with _counted(self.encoder, lambda m: _last_share(m, again)):
            logits: Tensor = self.mix_head(_pooled(self.encoder, x)).float()
        return logits

    def teach(
        self, loss: Tensor, model: Any, of_clean: Callable[[Callable[[Tensor], Tensor]], Tensor]
    ) -> None:
        """Steps the mixer by the gradient of `loss`, and `one` by that of what `of_clean` makes of q's `one`
        logits: a function of images. The classifier's gradients of the latter stay for its own step."""
        assert self.optimizer is not None
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        head = self.own_head if self.options.heads == "two" else _last(model)
        of_clean(lambda x: head(_pooled(model, x)).float()).backward()
        self.optimizer.step()

    def now(self, done: float, lr: float) -> None:
        """See `msda_train.core.learns.Learning`."""
        self.done = done
        for group in self.optimizer.param_groups if self.optimizer else ():
            group["lr"] = lr

    def after(self, network: nn.Module) -> None:
        """See `msda_train.core.learns.Learning`."""
        first, last = self.options.momentum, self.options.end_momentum
        self._follow(network, first if self.done < HELD else last - (last - first) * cosine(self.done))
        self.steps += 1

    @torch.no_grad()
    def _follow(self, network: nn.Module, momentum: float) -> None:
        """The encoder and its heads go 1 - momentum of the way to the classifier's."""
        linear, one = _last(network), _last(self.encoder)
        body = [p for p in network.parameters() if p is not linear.weight and p is not linear.bias]
        ours = [p for p in self.encoder.parameters() if p is not one.weight and p is not one.bias]
        own = self.own_head if self.options.heads == "two" else linear
        theirs: list[Tensor] = [*body, *own.parameters(), *linear.parameters()]
        followers: list[Tensor] = [*ours, *one.parameters(), *self.mix_head.parameters()]
        torch._foreach_lerp_(followers, theirs, 1 - momentum)

    def tested(self, network: nn.Module) -> nn.Module:
        """See `msda_train.core.learns.Learning`; before the first step it is the classifier."""
        return self.encoder if self.options.tested == "momentum" and self.steps else network

    def state(self) -> dict[str, Any]:
        """See `msda_train.core.learns.Learning`."""
        assert self.optimizer is not None
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return {**parts, "steps": self.steps, "optimizer": self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """See `msda_train.core.learns.Learning`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps = int(state["steps"])
        if "optimizer" in state and self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])

    def _parts(self) -> dict[str, nn.Module]:
        both = {"encoder": self.encoder, "mix_head": self.mix_head}
        return {**both, "own_head": self.own_head, "mixer": self.mixer}

    def _learned(self) -> nn.Module:
        return nn.ModuleList([self.mixer, self.own_head][: 2 if self.options.heads == "two" else 1])

    def _channels(self) -> int:
        """Of the maps before `layer`, found with an image of zeros; nothing is drawn, no statistic moves."""
        layer, stages = self.options.layer, list(self.encoder.stages)  # type: ignore[arg-type]
        channels = next(p.shape[1] for p in self.encoder.parameters() if p.dim() == 4)
        like = next(self.encoder.parameters())
        self.encoder.eval()
        image = like.new_zeros(1, channels, 64, 64)
        try:
            maps = _through(self.encoder, image, 0, layer) if layer < len(stages) else image.flatten(1)
        except (UserError, RuntimeError):
            raise UserError("method: learns to mix by maps of features, of images of any size; this network "
                            "takes one size; type model=resnet18") from None  # fmt: skip
        if maps.dim() != 4:
            raise UserError(
                f"method.layer={layer}: this network has no map of features before stage {layer}; "
                f"type method.layer={max(len(stages) - 2, 1)}"
            )
        return maps.shape[1]


def _last(network: Any) -> nn.Linear:
    """The linear layer in which the network ends; UserError where it does not."""
    stages = getattr(network, "stages", None)
    if stages is not None and isinstance(stages[-1], nn.Sequential) and isinstance(stages[-1][-1], nn.Linear):
        return stages[-1][-1]
    raise UserError(
        "method: learns to mix from a network in stages that ends in one linear layer; type model=resnet18"
    )


def _through(network: Any, h: Tensor, first: int, last: int) -> Tensor:
    for stage in network.stages[first:last]:
        h = stage(h)
    return h


def _pooled(network: Any, h: Tensor, first: int = 0) -> Tensor:
    """(B, D), what the last linear layer is given, from the input h of stage `first`."""
    pooled: Tensor = network.stages[-1][:-1](_through(network, h, first, len(network.stages) - 1))
    return pooled


def _last_share(m: float, again: int) -> float:
    return m * (1 - m) ** again


@contextmanager
def _counted(network: nn.Module, share: Callable[[float], float]) -> Iterator[None]:
    """BatchNorms move by `share(m)`, m their own momentum. A clean pass, a mixed one, and `again` clean ones
    of the same batch leave the running statistics that one clean and one mixed pass leave, which move by
    1 - (1 - m)^(again + 2) / (1 - b) and by b = m (1 - m)^again."""
    norms = [(norm, norm.momentum) for norm in batch_norms(network) if norm.momentum is not None]
    try:
        for norm, momentum in norms:
            norm.momentum = share(momentum)
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum


def shared_loss(logits: Tensor, labels: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_i weights_i CE(logits, labels_i), 0-d, of logits (B, K) and labels (B,): mixup's loss."""
    parts = [w * F.cross_entropy(logits, y) for y, w in zip(labels, weights, strict=True)]
    return torch.stack(parts).sum()
