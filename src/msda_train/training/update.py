"""What is the same for every method: mixed images and soft labels in, an updated network out.

`Update` runs it as it is written; `Replay` records it once per shape as a CUDA graph and replays it from then
on. Since images, labels and the plan are its inputs, one recording serves every method that mixes pixels, and
every seed; Manifold Mixup adds one for each depth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.mix import Mix
from msda_train.core.recording import Recordings
from msda_train.training.device import Compute


@dataclass
class Update:
    """network: as built, which methods may look at; forward: the same, perhaps compiled; criterion: the
    training loss of float32 logits and soft targets, both (B, K)."""

    network: nn.Module
    forward: Callable[..., Tensor]
    criterion: Callable[[Tensor, Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    compute: Compute

    def begin(self) -> None:
        """Clears the gradients; what a method adds to them before the update, counts."""
        self.optimizer.zero_grad(set_to_none=True)

    def __call__(self, x: Tensor, target: Tensor, mix: Mix | None = None) -> Tensor:
        """One step on images x (B, C, H, W), target (B, K) and a plan for deeper stages; the loss, 0-d."""
        with self.compute.autocast():
            logits = self.forward(x) if mix is None else self.forward(x, mix)
        loss = self.criterion(logits.float(), target)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def set_lr(self, lr: float) -> None:
        """The learning rate of the next steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

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
        self.lr = torch.zeros((), device=self.compute.device)  # a number would be recorded as it is now

    def begin(self) -> None:
        """See `Update`."""
        self.optimizer.zero_grad(set_to_none=False)

    def __call__(self, x: Tensor, target: Tensor, mix: Mix | None = None) -> Tensor:
        """See `Update`."""
        whole = super().__call__
        if mix is None:
            loss: Tensor = self.recordings("pixels", whole, x, target)
        elif mix.sources is None:
            work = partial(self._deeper, mix)
            loss = self.recordings(mix.depth, work, x, target, mix.perm, mix.mask)
        else:  # features of the method's own making: nobody does that yet
            loss = whole(x, target, mix)
        return loss

    def _deeper(self, mix: Mix, x: Tensor, target: Tensor, perm: Tensor, mask: Tensor) -> Tensor:
        # Inside the network a plan's label weights are not read, and a recording knows its mask only.
        return Update.__call__(self, x, target, replace(mix, perm=perm, mask=mask, box=None))

    def set_lr(self, lr: float) -> None:
        """See `Update`."""
        self.lr.fill_(lr)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
