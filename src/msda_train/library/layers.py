"""Somebody's own network as methods see it, mixed inside: hooks in front of named layers carry out plans."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError, nearest
from msda_train.core.mix import Mix
from msda_train.models.map_sizes import Sizes, map_sizes


class Network:
    """`module`, and where in it a plan of a depth acts: depth 0 mixes pixels, depth k the input of
    `layers[k - 1]`. All else that is asked of it is the module's.

    A plan that was `set` is carried out in every forward pass in training mode until the next one: so a
    recomputed pass (activation checkpointing) sees the same, and evaluation sees none.
    """

    def __init__(self, module: nn.Module, layers: Sequence[str] | None) -> None:
        """layers: names of modules, as `module.named_modules()` gives them; None: networks of ours have
        stages. Raises UserError where there is no such layer."""
        own = [f"stages.{k}" for k in range(1, len(getattr(module, "stages", ())))]
        if isinstance(layers, str):
            raise UserError(f"layers={layers}: must be a list; type layers=['{layers}']")
        known = dict(module.named_modules())
        for name in layers or ():
            if name not in known or not name:
                raise UserError(
                    f"layers: the network has no layer '{name}'; {nearest(str(name), filter(None, known))}"
                )
        self.module, self.layers = module, own if layers is None and own else layers
        self.plan: Mix | None = None
        self.done = True
        self._map_sizes: dict[tuple[int, ...], Sizes] = {}
        for k, name in enumerate(self.layers or ()):
            known[name].register_forward_pre_hook(partial(self._before, k + 1), with_kwargs=True)

    @property
    def stages(self) -> list[str]:
        """What a method of a depth counts: the pixels, then each layer. UserError where none is named."""
        if self.layers is None:
            raise UserError("layers: in front of which is mixed? type layers=['layer2', 'layer3']")
        return ["pixels", *self.layers]

    def map_sizes(self, x: Tensor) -> Sizes:
        """(height, width) of images like x (B, C, H, W), and of the map that enters each layer; None where it
        is none. Found out once for each size of images, by a pass in evaluation mode."""
        shape = tuple(x.shape[1:])
        if shape not in self._map_sizes:
            known = dict(self.module.named_modules())
            kept, self.plan = self.plan, None
            try:
                layers = [known[name] for name in self.layers or ()]
                self._map_sizes[shape] = [(x.shape[2], x.shape[3]), *map_sizes(self.module, layers, x)]
            finally:
                self.plan = kept
        return self._map_sizes[shape]

    def set(self, plan: Mix) -> None:
        """The plan for the passes to come. Raises UserError where the one before has not been carried out:
        its labels were mixed, and nothing else."""
        if not self.done and self.plan is not None and self.layers is not None:
            self.done, layer = True, self.layers[self.plan.depth - 1]
            raise UserError(
                f"model: the last batch was to be mixed in front of '{layer}', but no forward pass in "
                f"training mode came there; give the network that is trained"
            )
        self.plan, self.done = plan, plan.depth <= 0

    def __call__(self, x: Tensor) -> Any:
        """What the module makes of clean x (B, ...), for a method that asks it."""
        kept, self.plan = self.plan, None
        try:
            return self.module(x)
        finally:
            self.plan = kept

    def __getattr__(self, name: str) -> Any:
        if name == "module":  # not yet there: somebody unpickles
            raise AttributeError(name)
        return getattr(self.module, name)

    def _before(self, depth: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.plan is None or self.plan.depth != depth or not layer.training:
            return None
        self.done = True
        if args:
            return (self._mixed(args[0], self.plan), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, {**kwargs, first: self._mixed(kwargs[first], self.plan)}

    def _mixed(self, h: Tensor, plan: Mix) -> Tensor:
        if len(h) != len(plan.perm):
            raise ValueError(f"x: the mixed batch has {len(plan.perm)} images, and {len(h)} came to a layer")
        return plan.apply(h)


class NoNetwork(nn.Module):
    """Stands where no model was given; whoever asks it for more than its images' channels gets UserError."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, channels, 1, 1), requires_grad=False)

    @property
    def stages(self) -> list[str]:
        """None."""
        raise _missing()

    def forward(self, x: Tensor) -> Tensor:
        """None."""
        raise _missing()


def _missing() -> UserError:
    return UserError("model: this method asks the network that is trained; type model=your_network")
