"""The worker processes that read files: of a streamed set, or for a probe that trains on."""

import atexit
import os
import signal
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing import get_all_start_methods, get_context, parent_process, set_forkserver_preload
from threading import Thread
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from msda_train.core.errors import RunFailed
from msda_train.data.reading import Reader, Remark, Task, together

_open: WeakSet[DataLoader[Any]] = WeakSet()

PREFETCHED = 2  # batches that each worker prepares ahead


def loader_of(source: Any, workers: int, **options: Any) -> DataLoader[Any]:
    """torch's DataLoader with so many processes, which `close` ends, or the end of this one; 0: none."""
    several: dict[str, Any] = {}
    if workers:
        # Forked from a clean process that has imported what they need: ours has threads, perhaps a GPU.
        method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
        set_forkserver_preload([__name__, "PIL.Image", "torchvision.transforms.v2"])
        several = {"multiprocessing_context": get_context(method), "persistent_workers": True}
        several |= {"prefetch_factor": PREFETCHED, "worker_init_fn": _begin, "num_workers": workers}
    # A generator of its own: else each pass would draw from the one that dropout draws from.
    loader: DataLoader[Any] = DataLoader(source, generator=torch.Generator(), **options, **several)
    _open.add(loader)
    return loader


def close(loader: DataLoader[Any]) -> None:
    """Ends its workers. torch does it by itself once nobody refers to them, and has no public word."""
    end = getattr(getattr(loader, "_iterator", None), "_shutdown_workers", None)
    if end is not None:
        end()


def alive(loader: DataLoader[Any], kept: str, hint: str = "") -> Iterator[Any]:
    """Its batches. RunFailed where a worker is gone; kept: what is not lost; hint: what else may help."""
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RunFailed(
            f"a process that reads images ended ({str(error).splitlines()[0]}); {kept}, and the same command "
            f"goes on from it{hint}"
        ) from None


class _Given:
    """A sampler that gives what it was told last."""

    def __init__(self) -> None:
        self.batches: Iterator[list[Task]] = iter(())

    def __iter__(self) -> Iterator[list[Task]]:
        return self.batches


class Pool:
    """The worker processes of one reader, which live as long as it is used."""

    def __init__(self, reader: Reader, workers: int, pinned: bool) -> None:
        self.given = _Given()
        # No length: it reads what it is told.
        batches: dict[str, Any] = {"batch_sampler": self.given, "collate_fn": together, "pin_memory": pinned}
        self.loader = loader_of(reader, workers, **batches)

    def __call__(self, batches: Iterator[list[Task]]) -> Iterator[tuple[Tensor, list[Remark]]]:
        """Batches (B, size, size, 3) uint8 of each list of tasks, and what was odd about their images.
        RunFailed where a worker is gone."""
        self.given.batches = batches
        kept, hint = "no row written, the last checkpoint is kept", "; workers=1 needs the least memory"
        yield from alive(self.loader, kept, hint)


@lru_cache(maxsize=1)
def workers_of(reader: Reader, workers: int, pinned: bool) -> Pool:
    """The last one stays: training and testing, and the next run of a sweep, use the same workers."""
    return Pool(reader, workers, pinned)


@atexit.register
def _close_all() -> None:
    """Before Python waits for the workers, which heed no signal."""
    for loader in list(_open):
        close(loader)


def _begin(worker: int) -> None:
    """Signals of a terminal or a scheduler are the trainer's business, who may go on to the end of an epoch.
    A worker ends when it is told to, or when the trainer is gone; torch itself would look at its parent, and
    that is the server that forked it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    trainer = parent_process()
    if trainer is not None:
        trainer.join()
    os._exit(1)
