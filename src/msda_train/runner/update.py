"""What is the same for every method: mixed images and soft labels in, an updated network out.

`Update` runs it as it is written; `Replay` records it once per shape as a CUDA graph and then replays it,
which costs one launch instead of some hundred. Since images, labels and the plan are its inputs, one
recording serves every method that mixes pixels, and every seed; Manifold Mixup adds one for each depth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.mix import Mix
from msda_train.runner.device import Compute

EAGER = 3  # steps before recording: they make what later steps find (gradients, momentum, chosen kernels)


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
        for buffer in self._momentum().values():
            buffer.zero_()  # SGD's first step without one sets it to the gradient: the same

    def resume(self, weights: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        """A checkpoint's states of both, likewise in place. Raises torch's own errors for misfits."""
        self.network.load_state_dict(weights)
        kept = self._momentum()
        self.optimizer.load_state_dict(dict(optimizer))
        for parameter, buffer in kept.items():
            buffer.copy_(self.optimizer.state[parameter]["momentum_buffer"])
            self.optimizer.state[parameter]["momentum_buffer"] = buffer

    def _momentum(self) -> dict[Tensor, Tensor]:
        """By parameter, where there is any: none before the first step, none without momentum."""
        buffers = {p: state.get("momentum_buffer") for p, state in self.optimizer.state.items()}
        return {parameter: buffer for parameter, buffer in buffers.items() if buffer is not None}


Recorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def cuda_graph(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """`work` recorded, not run: what replays it, and where its result will be."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result


@dataclass
class Replay(Update):
    """The same steps, recorded. Inputs are copied to where the recording reads them; gradients are kept and
    zeroed, since a recording knows tensors by their place."""

    record: Recorder = cuda_graph
    recorded: dict[Any, "_Recorded"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lr = torch.zeros((), device=self.compute.device)  # a number would be recorded as it is now

    def begin(self) -> None:
        """See `Update`."""
        self.optimizer.zero_grad(set_to_none=False)

    def __call__(self, x: Tensor, target: Tensor, mix: Mix | None = None) -> Tensor:
        """See `Update`."""
        shapes = (
            x.shape,
            target.shape,
            *(() if mix is None else (mix.depth, mix.perm.shape, mix.mask.shape)),
        )
        known = self.recorded.setdefault(shapes, _Recorded())
        if known.seen < EAGER or (mix is not None and mix.sources is not None):
            known.seen += 1
            return super().__call__(x, target, mix)
        if known.replay is None:
            known.inputs = _kept(x, target, mix)
            known.replay, known.loss = self.record(lambda: Update.__call__(self, *known.inputs))
        _copy((x, target, mix), known.inputs)
        known.replay()
        return known.loss.clone()

    def set_lr(self, lr: float) -> None:
        """See `Update`."""
        self.lr.fill_(lr)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr


@dataclass
class _Recorded:
    """One shape's recording, or how often it was seen without one."""

    seen: int = 0
    inputs: Any = ()
    replay: Callable[[], None] | None = None
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))


def _kept(x: Tensor, target: Tensor, mix: Mix | None) -> tuple[Tensor, Tensor, Mix | None]:
    """Places of the same shapes and memory format."""
    if mix is not None:
        mix = replace(mix, perm=mix.perm.clone(), lam=mix.lam.clone(), mask=mix.mask.clone())
    return x.detach().clone(), target.clone(), mix


def _copy(new: tuple[Tensor, Tensor, Mix | None], kept: tuple[Tensor, Tensor, Mix | None]) -> None:
    for own, other in zip(kept[:2], new[:2], strict=True):
        own.copy_(other)
    if kept[2] is not None and new[2] is not None:  # the forward pass reads no label weights
        kept[2].perm.copy_(new[2].perm)
        kept[2].mask.copy_(new[2].mask)
