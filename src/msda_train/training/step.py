"""The one training step, the same for all methods, and the pass over the test set."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from msda_train.core.course import in_course
from msda_train.core.learns import Learning
from msda_train.core.mix import Method, OfOrigin, Remembers
from msda_train.core.randomness import Rng
from msda_train.data.batches import Batches, Draw
from msda_train.functional import metrics
from msda_train.methods.erm import Erm
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team
from msda_train.training.update import Update


@dataclass(frozen=True)
class Step:
    """Everything a step needs that does not change from step to step.

    augment: what happens to images (B, C, H, W) before they are mixed, given the step's generator;
    update: what trains the network on the outcome; erm_epochs: the first so many mix nothing; team: who
    does it together; partners: draws those of `PicksPartners`; learning: the method, where it learns.
    """

    method: Method
    augment: Callable[[Tensor, Rng], Tensor]
    classes: int
    update: Update
    erm_epochs: int = 0
    team: Team = ALONE
    partners: Draw | None = None
    learning: Learning | None = None

    def __call__(self, x: Tensor, y: Tensor, rng: Rng) -> Tensor:
        """Trains on one batch x (B, C, H, W), y (B,), twice as long where partners follow; the loss stays on
        the device, a 0-d float32 tensor."""
        self.update.begin()
        x = self.augment(x, rng)
        with self.update.compute.autocast():
            mix = self.method.plan(x, y, self.network, rng)
            mix, x, target = self.team.share(mix, x, mix.target(y, self.classes))
            # Pixels are mixed out here, so that one compiled network serves all input-level methods.
            x = mix.pixels(x)
        loss = self.update(x, target, mix if mix.depth > 0 else None, mix.loss)
        if isinstance(self.method, Remembers) and self.update.logits is not None:
            self.method.remember(x, target, self.update.logits)
        if self.learning is not None:
            self.learning.after(self.network)
        return loss

    def now(self, done: float, lr: float) -> None:
        """Before each step: the share of the run's steps that lies behind, and the learning rate."""
        self.update.set_lr(lr)
        if self.learning is not None:
            self.learning.now(done, lr)

    def at(self, done: float) -> "Step":
        """The step for a batch with the share `done` of the run's steps behind it; see `core.course`."""
        method = in_course(self.method, done)
        return self if method is self.method else replace(self, method=method)

    def over(self, loader: Batches, epoch: int) -> Iterator[tuple["Step", Tensor, Tensor]]:
        """The batches x, y of an epoch, each with the step for it: a method that remembers the training
        images is told where these come from, and partners that were drawn from all images follow a batch. No
        method has a say in the first `erm_epochs`."""
        if epoch < self.erm_epochs:
            plain = replace(self, method=Erm(), partners=None, learning=None)
            yield from ((plain, x, y) for x, y in loader.train_batches(epoch))
            return
        if self.partners is not None:
            yield from ((self, x, y) for x, y in loader.train_pairs(epoch, self.partners))
            return
        if not isinstance(self.method, OfOrigin):
            step = replace(self, method=self.method.anew()) if isinstance(self.method, Remembers) else self
            yield from ((step, x, y) for x, y in loader.train_batches(epoch))
            return
        for (x, y), origin in zip(loader.train_batches(epoch), loader.origins(epoch), strict=True):
            yield replace(self, method=self.method.at(origin)), x, y

    @property
    def network(self) -> nn.Module:
        """The model as built, which methods may look at."""
        return self.team.seen(self.update.network)

    @property
    def tested(self) -> Callable[[Tensor], Tensor]:
        """The network whose error counts, in evaluation mode: the one that is trained, unless the method has
        another."""
        if self.learning is None:
            return self.update.forward
        network = self.network  # of several devices a new one each time
        other = self.learning.tested(network)
        return self.update.forward if other is network else other.eval()


@torch.no_grad()
def evaluate(
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    compute: Compute,
    team: Team = ALONE,
) -> dict[str, float]:
    """Top-1 error, top-5 error (fractions) and NLL (nats) of a model in evaluation mode; one transfer to the
    host at the end. Of a `team` every process has other batches, and all of them count."""
    sums, count = torch.zeros(3, dtype=torch.float64, device=compute.device), 0
    for x, y in batches:
        with compute.autocast():
            logits = forward(x)
        logits = logits.float()
        wrong, wrong5 = metrics.error_count(logits, y), metrics.error_count(logits, y, k=5)
        sums += torch.stack([wrong.double(), wrong5.double(), metrics.nll_sum(logits, y).double()])
        count += len(y)
    sums = team.total(torch.cat([sums, sums.new_full((1,), count)]))
    error, top5_error, nll = (sums[:3] / sums[3]).tolist()
    return {"error": error, "top5_error": top5_error, "nll": nll}
