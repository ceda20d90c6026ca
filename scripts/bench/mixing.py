"""Rows 2 to 6 and 21: what mixing a batch costs, labels and draws included, against copying the same bytes
and against other libraries."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.peers import NAMES, Peer, peer
from bench.roofline import memory_rate
from bench.settings import Settings
from bench.table import Goal, Reach, Row, at_least, at_most
from bench.timing import Work, interleaved, spread, timer_of
from bench.workload import a_loader, float_batch, method_of, mixing, noise, our_mixing
from msda_train import Mixer
from msda_train.core.randomness import generator

COPY = "copying as many bytes"
MICRO = 1e6
PEER_GOALS = {
    "mixup": {"torchvision": (2.2, 4.0), "timm": (1.4, 2.5), "kornia": (8.0, 14.0)},
    "cutmix": {"torchvision": (2.5, 5.0), "timm": (1.4, 2.8)},
}
LIBRARY_GOAL = at_least(1.0, 1.5)
COPY_GOALS = {
    "mixup": at_most(2.6, 2.2),
    "cutmix": at_most(2.2, 1.1),
    "hmix": at_most(3.5, 2.6),
    "gmix": at_most(3.5, 2.6),
}


def against_copy_and_peers(settings: Settings, kind: str, numbers: tuple[int, int]) -> Iterator[Row]:
    """`kind` mixup or cutmix: the first of `numbers` against memory, the second against the libraries."""
    x, y = float_batch(settings, settings.batch)
    others = {name: peer(name, kind, settings.classes) for name in NAMES}
    ours = our_mixing(method_of(settings, mixing(kind)), x, y, settings.classes)
    cases = {"ours": ours, "copy": copying(x), "pixels": _pixels(settings, kind, x, y)}
    cases |= {name: _of_peer(other, x, y) for name, other in others.items() if other}
    seconds = _measured(settings, cases)
    yield _row(settings, numbers[0], kind, seconds, "copy", COPY_GOALS[kind])
    for name, other in others.items():
        limits = PEER_GOALS[kind].get(name)
        goal = at_least(*limits) if limits else None
        if other:
            yield _row(settings, numbers[1], kind, seconds, name, goal)
        else:
            note = f"{name} is not installed; type pip install 'msda-train[bench]'"
            yield Row(numbers[1], f"{kind}, times faster", None, "us", name, goal=goal, note=note)


def mixup(settings: Settings) -> Iterator[Row]:
    """Rows 2 and 3: mixup against copying as many bytes, and against other libraries."""
    return against_copy_and_peers(settings, "mixup", (2, 3))


def cutmix(settings: Settings) -> Iterator[Row]:
    """Row 4: CutMix, likewise."""
    return against_copy_and_peers(settings, "cutmix", (4, 4))


def park_mixing(settings: Settings) -> Iterator[Row]:
    """Row 5: HMix and GMix."""
    x, y = float_batch(settings, settings.batch)
    cases = {"copy": copying(x)}
    for kind in ("hmix", "gmix"):
        cases[kind] = our_mixing(method_of(settings, mixing(kind)), x, y, settings.classes)
        cases[f"{kind} pixels"] = _pixels(settings, kind, x, y)
    seconds = _measured(settings, cases)
    for kind in ("hmix", "gmix"):
        of_kind = {"ours": seconds[kind], "pixels": seconds[f"{kind} pixels"], "copy": seconds["copy"]}
        yield _row(settings, 5, kind, of_kind, "copy", COPY_GOALS[kind])


def from_bytes(settings: Settings) -> Iterator[Row]:
    """Row 6: bytes in, normalised and mixed floats out, as loader and training step do it together."""
    images = noise(settings.batch, settings)
    loader = a_loader(settings, images, seed=None)
    method = method_of(settings, mixing("mixup"))
    raw = torch.from_numpy(images.x_train).to(settings.device)
    floats = torch.empty(raw.shape, device=settings.device)

    def ours() -> object:
        x, y = next(loader.test_batches())
        return our_mixing(method, x, y, settings.classes)()

    cases = {
        "ours": ours,
        "bare": lambda: floats.copy_(raw),
        "normalised": lambda: next(loader.test_batches()),
    }
    seconds = _measured(settings, cases)
    alone = spread(seconds["normalised"] / seconds["bare"])
    note = f"of which without mixing: {alone.median:.2f}x; the bare conversion writes into kept memory"
    yield Row(
        6,
        "bytes to mixed, normalised floats",
        spread(seconds["ours"] * MICRO),
        "us",
        "the bare conversion",
        spread(seconds["bare"] * MICRO),
        spread(seconds["ours"] / seconds["bare"]),
        goal=at_most(3.8, 2.8),
        rounds=settings.rounds,
        note=note,
    )


def library(settings: Settings) -> Iterator[Row]:
    """Row 21: `Mixer`, as anybody calls it, against the libraries on their own job: images in the order that
    they document. timm mixes in the batch's own memory, so it is met by `inplace=True`; the others by a call
    that leaves the batch alone."""
    for batch, side in ((settings.batch, settings.side), settings.large_images):
        sized = replace(settings, side=side)
        for kind in PEER_GOALS:
            x, y = float_batch(sized, batch)
            x = x.contiguous()
            cases: dict[str, Work] = {}
            for case, inplace in (("alone", False), ("in place", True)):
                mixer = Mixer(kind, prob=1.0, num_classes=settings.classes, seed=0, inplace=inplace)
                cases[case] = partial(mixer, x.clone(), y)
            others = {name: peer(name, kind, settings.classes) for name in NAMES}
            cases |= {name: partial(other.mix, x.clone(), y) for name, other in others.items() if other}
            seconds = _measured(settings, cases)
            for name, other in others.items():
                case = "in place" if name == "timm" else "alone"
                what = f"{kind} by Mixer{', in place' * (name == 'timm')}, {batch} x {side} px, times faster"
                if other is None:
                    note = f"{name} is not installed; type pip install 'msda-train[bench]'"
                    yield Row(21, what, None, "us", name, goal=LIBRARY_GOAL, note=note)
                    continue
                yield Row(
                    21,
                    what,
                    spread(seconds[case] * MICRO),
                    "us",
                    name,
                    spread(seconds[name] * MICRO),
                    spread(seconds[name] / seconds[case]),
                    goal=LIBRARY_GOAL,
                    rounds=settings.rounds,
                )


def copying(x: Tensor) -> Work:
    """Into memory that is kept."""
    kept = torch.empty_like(x)
    return lambda: kept.copy_(x)


def _pixels(settings: Settings, kind: str, x: Tensor, y: Tensor) -> Work:
    """The same plan's pixels again and again: what is left without draws, masks and labels."""
    plan = method_of(settings, mixing(kind)).plan(x, y, None, generator(0, "mix"))
    return lambda: plan.pixels(x)


def _of_peer(other: Peer, x: Tensor, y: Tensor) -> Work:
    own = x.contiguous()  # the order of pixels that these libraries document; timm mixes in place
    return lambda: other.mix(own, y)


def _measured(settings: Settings, cases: dict[str, Work]) -> dict[str, np.ndarray]:
    return interleaved(
        cases,
        rounds=settings.rounds,
        timer=timer_of(settings.device),
        least_seconds=settings.least_seconds,
    )


def _row(
    settings: Settings,
    number: int,
    kind: str,
    seconds: Mapping[str, np.ndarray],
    other: str,
    goal: Goal | None,
) -> Row:
    ours, theirs = seconds["ours"], seconds[other]
    copying = other == "copy"
    moved = 2 * 4 * settings.batch * 3 * settings.side**2  # bytes that must be read and written
    rate = moved / float(spread(ours).median)
    return Row(
        number,
        f"{kind}" if copying else f"{kind}, times faster",
        spread(ours * MICRO),
        "us",
        COPY if copying else other,
        spread(theirs * MICRO),
        spread(ours / theirs if copying else theirs / ours),
        goal=goal,
        rounds=settings.rounds,
        note=f"the pixels alone: {spread(seconds['pixels'] / theirs).median:.2f}x" if copying else "",
        reach=Reach(rate / 1e9, "GB/s", rate / memory_rate(settings.device)) if copying else None,
    )
