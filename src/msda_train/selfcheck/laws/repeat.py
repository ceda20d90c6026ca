"""Laws of randomness: the same again by the same seed, and nothing the same otherwise."""

import multiprocessing
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from msda_train.selfcheck.laws.coded import Seen, coded_batch
from msda_train.selfcheck.laws.subject import Mixer, Outcome, Subject, failed, passed, seed_all, unasked

CALLS = 8
SMALL = (16, 16)


def by_seed(subject: Subject, seen: Seen) -> Outcome:
    """The same seed gives the same batches bit for bit; another seed, as other ranks have, and the next call
    give others."""
    first, again, other = (_calls(subject.made(seed)) for seed in (5, 5, 6))
    for k, (a, b) in enumerate(zip(first, again, strict=True)):
        if not all(torch.equal(one, same) for one, same in zip(a, b, strict=True)):
            return failed(f"the same seed gives another batch {k + 1}")
    if _same(first, other):
        return failed("another seed gives the same batches, so all ranks would draw alike")
    if all(_same(first[:1], [call]) for call in first):
        return failed(f"all of {CALLS} calls give the same batch")
    return passed(f"{CALLS} batches bit for bit; another seed gives others")


def _calls(mixer: Mixer) -> list[tuple[Tensor, Tensor]]:
    x, y = coded_batch()
    return [mixer(x.clone(), y.clone()) for _ in range(CALLS)]


def _same(first: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def between_workers(subject: Subject, seen: Seen) -> Outcome:
    """In two workers of a DataLoader, and in two epochs, nothing is drawn twice."""
    if not subject.in_workers:
        return unasked("mixes in the training process, after the loader")
    if "fork" not in multiprocessing.get_all_start_methods():
        return unasked("workers of this system do not share what was made before")
    mixer = subject.made()

    def collate(items: list[int]) -> Tensor:
        mixed, _ = mixer(*coded_batch(size=SMALL))
        return mixed

    places: Any = list(range(2 * CALLS))
    loader = DataLoader(places, 1, collate_fn=collate, num_workers=2, multiprocessing_context="fork")
    seed_all(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 says that forks are dangerous: these do nothing else
        first, second = list(loader), list(loader)
    own, other = first[::2], first[1::2]
    if all(torch.equal(a, b) for a, b in zip(own, other, strict=True)):
        return failed(f"both workers draw the same {CALLS} batches")
    if all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        return failed(f"every epoch draws the same {2 * CALLS} batches")
    return passed(f"{CALLS} batches of each of two workers, and two epochs, differ")
