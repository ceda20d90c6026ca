"""Which random numbers a call gets: a function of seed, rank, worker, epoch and step."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed
from torch.utils.data import get_worker_info

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import Rng, generator

AHEAD = 32  # generators made at once: in a row they cost a sixth of what each does between two large batches


@dataclass
class Draws:
    """seed: the numbers are those of msda-train's training steps with this seed; without one they come from
    `source` or, where that is None, from torch's own generator, so that torch.manual_seed decides.

    epoch, step: of the next call; each call counts one step. Processes of `torch.distributed` draw each their
    own. So do the workers of a DataLoader: there torch's seed of the worker, another one in each epoch, joins
    in, since a worker that is started anew counts from the beginning again.
    """

    seed: int | None = None
    source: torch.Generator | None = None
    epoch: int = 0
    step: int = 0
    rank: int | None = field(default=None, repr=False)  # of this process; found where it is first needed
    ready: list[tuple[Any, Rng]] = field(default_factory=list, repr=False)  # the last one is next

    def __post_init__(self) -> None:
        if self.seed is not None:
            checks.whole("seed", self.seed, least=0)
        if self.source is not None and (
            not isinstance(self.source, torch.Generator) or self.source.device.type != "cpu"
        ):
            raise UserError("generator: must be a torch.Generator of the CPU; type torch.Generator()")
        if self.seed is not None and self.source is not None:
            raise UserError("generator: either it or seed decides the draws; leave one of them out")

    def next(self, step: int | None = None) -> Rng:
        """The generator of the next call, or of a `step` by its number: seed, epoch, step and rank alone
        decide that one, wherever it is asked for."""
        if step is not None:
            checks.whole("step", step, least=0)
            return generator(self.seed or 0, self._stream(None), self.epoch, step)
        worker = get_worker_info()
        stream = self._stream(worker.seed if worker else None)
        if self.seed is None:
            drawn = int(torch.randint(2**62, (), generator=self.source))
            return generator(drawn, stream)
        place = (stream, self.epoch, self.step)
        if not self.ready or self.ready[-1][0] != place:
            steps = range(self.step + AHEAD - 1, self.step - 1, -1)
            self.ready = [((*place[:2], k), generator(self.seed, *place[:2], k)) for k in steps]
        self.step += 1
        return self.ready.pop()[1]

    def _stream(self, worker: int | None) -> str:
        """The stream of training steps, "mix", or one of its own for each other place."""
        if self.rank is None:
            self.rank = _rank()
        of_rank = f", rank {self.rank}" if self.rank else ""
        return f"mix{of_rank}" + (f", worker {worker}" if worker is not None else "")

    def __getstate__(self) -> Mapping[str, Any]:
        rank = _rank() if self.rank is None else self.rank
        return {**self.__dict__, "rank": rank, "ready": []}


def _rank() -> int:
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    return int(os.environ.get("RANK", "0"))  # torchrun's word, which workers inherit
