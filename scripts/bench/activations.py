"""Row 15: does a training step of the largest networks fit in 24 GiB? Counted: that needs no GPU.

A network takes one training step (forward, backward) on fake tensors, which have shapes, types and storages
but no memory, while every storage is counted from its first tensor to its last: weights, gradients, momentum,
features, what autograd keeps, and what is alive for a moment. The largest sum is the peak. What kernels take
for themselves (cuDNN's workspaces) and what an allocator loses in gaps comes on top.
"""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.settings import Settings
from bench.table import Row, at_most
from bench.timing import Spread, interleaved, spread, timer_of
from bench.workload import Stepping
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.training.device import choose

GIB = 2**30
CARD = at_most(24, 24)  # GiB
AGAIN = "model.checkpointing=true"
NETWORKS: tuple[tuple[int, tuple[str, ...]], ...] = (  # published batch sizes
    (128, ("model=wrn28_10",)),
    (64, ("model=pyramidnet200",)),
    (64, ("model=densenet_bc190",)),
    (64, ("model=densenet_bc190", AGAIN)),
)
TIMED = ("model=densenet_bc190", "model.depth=40", "model.growth=12", "method=erm")


class Alive(TorchDispatchMode):
    """Inside, `now` is how many bytes of tensors are alive that were made inside, `peak` the most so far."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes, then looks at what came out."""
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def step_memory(words: Sequence[str], batch: int, side: int, *, bf16: bool) -> tuple[int, int, int]:
    """Bytes of one training step of the network that `words` say, for `batch` colour images: the peak, what
    the forward pass leaves for the backward pass, and weights and momentum."""
    node = compose("dataset=cifar10", *words).model
    with FakeTensorMode(), Alive() as alive:
        network = build("model", node, classes=10, channels=3)
        momentum = [torch.zeros_like(p) for p in network.parameters()]
        x = torch.empty(batch, 3, side, side, memory_format=torch.channels_last)
        state, alive.peak = alive.now, 0
        # The host's autocast treats what these networks consist of as CUDA's does.
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(x)
        loss = nn.functional.cross_entropy(logits.float(), torch.zeros(batch, dtype=torch.int64))
        kept = alive.now - state
        loss.backward()
        del momentum
    return alive.peak, kept, state


def rows(settings: Settings) -> Iterator[Row]:
    """Every network's peak in both precisions, and what computing again costs."""
    for batch, words in NETWORKS:
        told = " ".join(word.removeprefix("model=").removeprefix("model.") for word in words)
        for precision in settings.card_precisions:
            counted = step_memory(words, batch, settings.side, bf16=precision == "bf16")
            peak, kept, state = (n / GIB for n in counted)
            yield Row(
                15,
                f"memory of a step, {told}, batch {batch}, {precision}",
                Spread(peak, peak, peak),
                "GiB",
                judged=Spread(peak, peak, peak),
                judged_unit="GiB",
                goal=CARD,
                note=f"kept for the backward pass {kept:.2f} GiB, weights and momentum {state:.2f} GiB",
            )
    yield _computing_again(settings)


def _computing_again(settings: Settings) -> Row:
    compute = choose(str(settings.device), "auto", False, None)
    steps = {}
    for name, more in (("plain", ()), ("again", (AGAIN,))):
        steps[name] = Stepping(settings, [*TIMED, *more], compute)
    seconds = interleaved(steps, rounds=settings.slow_rounds, timer=timer_of(settings.device))
    return Row(
        15,
        "training step with checkpointing, DenseNet-BC-40-12",
        spread(seconds["again"] * 1e3),
        "ms",
        "without",
        spread(seconds["plain"] * 1e3),
        spread(seconds["again"] / seconds["plain"]),
        rounds=settings.slow_rounds,
    )
