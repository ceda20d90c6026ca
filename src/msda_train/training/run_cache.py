"""What outlives a run in its process: images, batches where they are used, the network with what was compiled
or recorded for it. The next run that wants the same starts with it.

Only the last of each kind is kept, and let go before another is made, so that a process of many runs needs no
more memory than one of a single run. Imports no torch: whoever only composes words may hold one.
"""

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msda_train.config.defaults import PACKAGE

T = TypeVar("T")
DEPENDENT = {"images": ("training batches", "test batches")}  # these hold copies of those


@dataclass
class RunCache:
    """By kind, what was made last and what it was made for: anything that compares equal for the same.

    runs: how many this process has finished; written: their rows, which it may trust as its own.
    """

    last: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    runs: int = 0
    written: set[Path] = field(default_factory=set)

    def find(self, kind: str, wanted: Any) -> Any:
        """The one of this `kind` that was made for `wanted`; else None, and the one there is has been let
        go."""
        if kind in self.last:
            made_for, value = self.last[kind]
            if made_for == wanted:
                return value
            del value
            self._drop(kind, *DEPENDENT.get(kind, ()))
        return None

    def keep(self, kind: str, wanted: Any, value: T) -> T:
        """`value`, kept as the one made for `wanted`."""
        self.last[kind] = wanted, value
        return value

    def clear(self) -> None:
        """After an error nobody knows what state things are in."""
        self._drop(*self.last)

    def _drop(self, *kinds: str) -> None:
        dropped = [self.last.pop(kind, None) for kind in kinds]
        if any(dropped):
            dropped.clear()
            gc.collect()  # what torch.compile made of a network refers to itself


def is_ours(config: Any) -> bool:
    """Whether every class that `config` names is of this package. Of somebody's own nobody knows what it
    remembers besides its weights."""
    if isinstance(config, Mapping):
        target = config.get("_target_", PACKAGE)
        return str(target).startswith(PACKAGE) and all(map(is_ours, config.values()))
    return all(map(is_ours, config)) if isinstance(config, list | tuple) else True
