"""The seam for a method that learns: networks of its own, its own optimizer, what a checkpoint keeps of it.

There is one training loop. Such a method does all its learning inside `plan`: it trains its networks on the
batch at hand, may add gradients to the classifier (the step cleared them and adds its own), and returns a
`Mix` without gradients, on which the step trains the classifier as ever. What it needs of the run besides
comes through `Learning`, and the run asks for nothing else:

- `now`, before each step: how far the run is and the classifier's learning rate. Nothing is stored for it.
- `after`, once the classifier moved: a moving average of its weights, for example.
- `tested`: which network is tested each epoch, and is "model" in checkpoints, so that probes, `verify` and
  whoever loads the run meet the network that the row's error is of. The classifier then lies beside it.
- `state` and `load`: tensors and plain numbers. Initial weights are drawn by torch's generator when `learn`
  is called, which follows from the seed; all other draws are `plan`'s rng. So a resumed run is bit for bit
  an uninterrupted one.

Compiled: the classifier is, networks of the method are not. Recorded as CUDA graphs: the step is; `plan` runs
as it is written. bf16: `plan` runs under the step's autocast. Epochs of ERM at the beginning
(`recipe.erm_epochs`): the method is not asked, so it begins to learn after them. Several devices: refused,
for a method there sees logits of a divided network only, and each process would learn by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer

from msda_train.core.mix import Method

NewOptimizer = Callable[[nn.Module], Optimizer]  # of its parameters


@runtime_checkable
class Learning(Method, Protocol):
    """A method in training, as `Learns.learn` returns it."""

    def now(self, done: float, lr: float) -> None:
        """Before each step: the share of the run's steps that lies behind, 0 to 1, and the learning rate."""
        ...

    def after(self, network: nn.Module) -> None:
        """After each step that this method planned: the classifier, updated."""
        ...

    def tested(self, network: nn.Module) -> nn.Module:
        """The network to test and to keep: the classifier itself, or one of the same architecture."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: nested dicts of tensors and numbers. Its momentum lies under "optimizer",
        which checkpoints of weights alone leave out."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from such a state, perhaps one without "optimizer". Raises KeyError, ValueError or
        RuntimeError where it does not fit."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A method, as its options, that has to learn before it can mix well."""

    def learn(self, network: nn.Module, optimizer: NewOptimizer) -> Learning:
        """The method to train with. network: the classifier as it will be trained, on its device; optimizer:
        makes one of the classifier's kind. Raises UserError where the method does not fit the network."""
        ...
