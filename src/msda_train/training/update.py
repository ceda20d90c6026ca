"""What is the same for every method: mixed images and soft labels in, an updated network out.

`Update` runs it as it is written; `Replay` records it once per shape as a CUDA graph and replays it from then
on. Since images, labels and the plan are its inputs, one recording serves every method that mixes pixels, and
every seed; Manifold Mixup adds one for each depth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.mix import Criterion, Mix, OwnLoss
from msda_train.core.recording import Recordings
from msda_train.training.device import Compute

FACTOR = "lr_factor"  # of a group of the optimizer: what its learning rate is multiplied by


@dataclass
class Update:
    """network: as built, which methods may look at; forward: the same, perhaps compiled; criterion: the
    training loss of float32 logits and soft targets, both (B, K); weighted: what makes of a mean over own
    rows the share of this process; logits: those of the last step (B, K) float32."""

    network: nn.Module
    forward: Callable[..., Tensor]
    criterion: Criterion
    optimizer: torch.optim.Optimizer
    compute: Compute
    weighted: Callable[[Criterion], Criterion] = field(default=lambda criterion: criterion, kw_only=True)
    logits: Tensor | None = field(default=None, init=False, repr=False)

    def begin(self) -> None:
        """Clears the gradients; what a method adds to them before the update, counts."""
        self.optimizer.zero_grad(set_to_none=True)

    def __call__(
        self, x: Tensor, target: Tensor, mix: Mix | None = None, own: OwnLoss | None = None
    ) -> Tensor:
        """One step on images x (B, C, H, W), target (B, K), a plan for deeper stages and the loss of a method
        that has one; the loss, 0-d."""
        loss, self.logits = self._trained(x, target, mix, own)
        return loss

    def _trained(
        self, x: Tensor, target: Tensor, mix: Mix | None, own: OwnLoss | None
    ) -> tuple[Tensor, Tensor]:
        """The loss, 0-d, and the logits (B, K) float32, both without their past."""
        with self.compute.autocast():
            logits = self.forward(x) if mix is None else self.forward(x, mix)
        logits, mean = logits.float(), self.criterion
        if own is not None:
            mean = own.asking(self.network, self.criterion)
        loss = self.weighted(mean)(logits, target)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), logits.detach()

    def set_lr(self, lr: float) -> None:
        """The learning rate of the next steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get(FACTOR, 1.0)

    def restart(self, weights: Mapping[str, Any]) -> None:
        """Another run's beginning: its `weights` (a state of the network), and no momentum. In place: what
        was compiled or recorded stays good."""
        self.network.load_state_dict(weights)
        for buffers in self._buffers().values():
            for buffer in buffers.values():
                buffer.zero_()  # the first step of SGD and of Adam without any is that with zeros

    def resume(self, weights: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        """A checkpoint's states of both, likewise in place. Raises torch's own errors for misfits."""
        self.network.load_state_dict(weights)
        kept = self._buffers()
        self.optimizer.load_state_dict(dict(optimizer))
        for parameter, buffers in kept.items():
            for name, buffer in buffers.items():
                buffer.copy_(self.optimizer.state[parameter][name])
                self.optimizer.state[parameter][name] = buffer

    def _buffers(self) -> dict[Tensor, dict[str, Tensor]]:
        """What the optimizer remembers of each parameter, by name: nothing before the first step."""
        states = self.optimizer.state.items()
        found = {
            p: {name: held for name, held in state.items() if isinstance(held, Tensor)} for p, state in states
        }
        return {parameter: buffers for parameter, buffers in found.items() if buffers}


@dataclass
class Replay(Update):
    """The same steps, recorded. Gradients are kept and zeroed: a recording knows tensors by their place."""

    recordings: Recordings = field(default_factory=Recordings)

    def __post_init__(self) -> None:
        # Numbers would be recorded as they are now; one tensor for each factor.
        factors = {group.get(FACTOR, 1.0) for group in self.optimizer.param_groups}
        self.lr = {factor: torch.zeros((), device=self.compute.device) for factor in factors}

    def begin(self) -> None:
        """See `Update`."""
        self.optimizer.zero_grad(set_to_none=False)

    def _trained(
        self, x: Tensor, target: Tensor, mix: Mix | None, own: OwnLoss | None
    ) -> tuple[Tensor, Tensor]:
        whole, rows = super()._trained, () if own is None else own.rows
        if mix is not None and mix.sources is not None:  # features of the method's own making: nobody yet
            return whole(x, target, mix, own)

        def work(x: Tensor, target: Tensor, *changing: Tensor) -> tuple[Tensor, Tensor]:
            # Inside the network a plan's label weights are not read, and a recording knows its mask only.
            there = None if mix is None else replace(mix, perm=changing[0], mask=changing[1], box=None)
            its = None if own is None else replace(own, rows=changing[len(changing) - len(rows) :])
            return whole(x, target, there, its)

        name = ("pixels" if mix is None else mix.key, None if own is None else own.name)
        plan = () if mix is None else (mix.perm, mix.mask)
        done: tuple[Tensor, Tensor] = self.recordings(name, work, x, target, *plan, *rows)
        return done

    def set_lr(self, lr: float) -> None:
        """See `Update`."""
        for factor, held in self.lr.items():
            held.fill_(lr * factor)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr[group.get(FACTOR, 1.0)]
