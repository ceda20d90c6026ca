"""Training that goes on from a finished run's network, for another task: what the transfer probes share.

A batch, and all that is drawn for it, is a function of (seed, name, step): one that was stopped goes on as if
it had not been. What it has learned so far lies beside the run's other probes until it is done.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from msda_train.config import checks
from msda_train.core import signals
from msda_train.core.errors import RunFailed, UserError
from msda_train.core.files import whole_file, writing
from msda_train.core.randomness import Rng, generator
from msda_train.data.reader_pool import alive, close, loader_of
from msda_train.evaluation.finished_run import NoNetwork
from msda_train.evaluation.probes.subject import Subject

SAVE_SECONDS = 600.0
WATCHED = 100  # steps from one look at the loss to the next: a look waits for the device


class Drawn(Protocol):
    """Examples to learn from."""

    def __len__(self) -> int: ...

    def drawn(self, index: int, rng: Rng) -> Any:
        """Example `index`, augmented by what `rng` draws; torch's own generator is seeded from it."""
        ...


@dataclass(frozen=True)
class Schedule:
    """steps of batches of batch_size; the learning rate falls to a tenth after each of lr_drops, in steps."""

    steps: int
    batch_size: int
    lr: float
    lr_drops: Sequence[int] = ()

    def check(self, option: str) -> None:
        """UserError names what is wrong as `option`.steps and so on."""
        checks.whole(f"{option}.steps", self.steps, least=1)
        checks.whole(f"{option}.batch_size", self.batch_size, least=1)
        checks.positive(f"{option}.lr", self.lr)
        if isinstance(self.lr_drops, str | int):
            raise UserError(f"{option}.lr_drops={self.lr_drops}: must be a list; type [80000,100000]")
        for step in self.lr_drops:
            checks.whole(f"{option}.lr_drops", step, least=1)

    def lr_at(self, step: int) -> float:
        """Of a 0-based step."""
        return float(self.lr * 0.1 ** sum(step >= drop for drop in self.lr_drops))

    @property
    def words(self) -> str:
        """For the name of a number: which training it is of."""
        return "_".join([f"{self.steps}x{self.batch_size}_lr{self.lr:g}", *map(str, self.lr_drops)])


@dataclass(frozen=True)
class FineTuning:
    """name: of the probe; options: all that decides what is learned, besides the schedule, in words: what the
    data are, not where they lie."""

    name: str
    options: str
    schedule: Schedule

    def learn(
        self,
        subject: Subject,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        examples: Drawn,
        loss: Callable[[list[Any]], Tensor],
    ) -> np.ndarray:
        """Trains `network`, which is in training mode; `loss` makes the mean of a list of examples. Gives the
        training loss after each WATCHED steps. Raises RunFailed where it is no longer finite."""
        file, losses, first = self._file(subject), list[float](), 0
        total, saved_at = torch.zeros((), device=subject.device), time.monotonic()
        if file is not None and file.is_file():
            losses, begun, first = _restored(file, network, optimizer)
            total += begun
        batches = _Batches(len(examples), self.schedule, subject.seed, self.name)
        keyed = _Keyed(examples, subject.seed, self.name)
        loader = _loaded(keyed, subject, batch_sampler=batches.begin_at(first))
        own = [subject.device] if subject.device.type == "cuda" else []
        label = f"{self.name}, from step {first}" if first else self.name
        with signals.patient() as stop, torch.random.fork_rng(own):
            for step, batch in enumerate(subject.progress(loader, self.schedule.steps - first, label), first):
                for group in optimizer.param_groups:
                    group["lr"] = self.schedule.lr_at(step)
                _seed(generator(subject.seed, f"probe/{self.name}/layers", 0, step))
                optimizer.zero_grad(set_to_none=True)
                made = loss(batch)
                made.backward()
                optimizer.step()
                total += made.detach()
                last = step + 1 == self.schedule.steps
                if last or (step + 1) % WATCHED == 0:
                    losses.append(total.item() / (step % WATCHED + 1))
                    total.zero_()
                    self._check(losses[-1], step)
                due = last or time.monotonic() - saved_at > SAVE_SECONDS  # the test may take long, too
                if file is not None and (due or stop.asked()):
                    _save(file, network, optimizer, losses, total.item(), step + 1)
                    saved_at = time.monotonic()
                stop.if_asked()
        return np.array(losses)

    def leftovers(self, subject: Subject) -> list[Path]:
        """What there was to go on with, if anything."""
        file = self._file(subject)
        return [] if file is None else [file]

    def _check(self, loss: float, step: int) -> None:
        if not np.isfinite(loss):
            raise RunFailed(
                f"step {step + 1}: the loss is {loss}; try a smaller probes.{self.name}.lr than "
                f"{self.schedule.lr}"
            )

    def _file(self, subject: Subject) -> Path | None:
        """Of this training only: one of other options has another name."""
        mark = hashlib.sha256(f"{self.options} {self.schedule}".encode()).hexdigest()[:8]
        return None if subject.folder is None else subject.folder / "probes" / f"{self.name}-{mark}.pt"


def trained_network(subject: Subject) -> nn.Module:
    """The run's network, which is to be copied. UserError where its weights are gone."""
    if isinstance(subject.network, NoNetwork):
        subject.network()
    return subject.network


def in_order(examples: "Dataset[Any]", batch: int, subject: Subject, label: str) -> Iterator[list[Any]]:
    """All of `examples`, a list of `batch` at a time, read by the subject's readers behind a bar. Raises what
    UserError they raise."""
    total = -(-len(examples) // batch)  # type: ignore[arg-type]  # those that are read in order have a length
    yield from subject.progress(_loaded(examples, subject, batch_size=batch), total, label)


def _loaded(examples: "Dataset[Any]", subject: Subject, **batches: Any) -> Iterator[list[Any]]:
    loader = loader_of(_Guarded(examples), subject.readers, collate_fn=list, **batches)
    try:
        for batch in alive(loader, "what was learned so far is kept"):
            for wrong in batch:
                if isinstance(wrong, UserError):
                    raise wrong
            yield batch
    finally:
        close(loader)


class _Guarded(Dataset[Any]):
    """A UserError comes back in the place of an example: raised in a reader, it would not stay one line."""

    def __init__(self, examples: "Dataset[Any]") -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)  # type: ignore[arg-type]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.examples[key]
        except UserError as error:
            return error


class _Keyed(Dataset[Any]):
    """Examples by (step, place in the batch, index)."""

    def __init__(self, examples: Drawn, seed: int, name: str) -> None:
        self.examples, self.seed, self.name = examples, seed, name

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        step, place, index = key
        rng = generator(self.seed, f"probe/{self.name}/{place}", 0, step)
        with seeded(rng):
            return self.examples.drawn(index, rng)


class _Batches:
    """Shuffled anew for each time through the examples; the last batch may be smaller, but never of one
    example beside others: BatchNorm has nothing to say of one."""

    def __init__(self, examples: int, schedule: Schedule, seed: int, name: str) -> None:
        self.examples, self.schedule, self.seed, self.name, self.first = examples, schedule, seed, name, 0
        self.each = batches_of(examples, schedule.batch_size)

    def begin_at(self, first: int) -> "_Batches":
        """Those from step `first` on."""
        self.first = first
        return self

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        order, size = np.array([]), self.schedule.batch_size
        for step in range(self.first, self.schedule.steps):
            turn, number = divmod(step, self.each)
            if step == self.first or number == 0:
                rng = generator(self.seed, f"probe/{self.name}/order", turn)
                order = rng.permutation(self.examples)
            chosen = order[number * size : (number + 1) * size]
            yield [(step, place, int(index)) for place, index in enumerate(chosen)]

    def __len__(self) -> int:
        return self.schedule.steps - self.first


def batches_of(examples: int, batch_size: int) -> int:
    """How many steps one time through the examples takes: see `_Batches`."""
    return examples // batch_size + (examples % batch_size > 1 or examples == 1)


@contextmanager
def seeded(rng: Rng) -> Iterator[None]:
    """What is drawn on the host by torch's own generator comes from `rng`; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):  # no word to a GPU: a reader must not wake it
        _seed(rng)
        yield


def _seed(rng: Rng) -> None:
    torch.manual_seed(int(rng.integers(2**62)))


def _save(
    file: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Sequence[float],
    total: float,
    step: int,
) -> None:
    with writing(file):
        file.parent.mkdir(exist_ok=True)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    with signals.held(), whole_file(file) as whole:
        torch.save(state | {"losses": list(losses), "total": total, "step": step}, whole)


def _restored(
    file: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[float], float, int]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return [float(loss) for loss in state["losses"]], float(state["total"]), int(state["step"])
    except Exception as error:  # a damaged file, or one of another network
        why = " ".join(str(error).split())[:100]
        raise UserError(f"{file}: is no beginning of this training ({why}); delete it") from None
