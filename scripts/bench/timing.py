"""Times that can be compared on a machine with other work: cases take turns, and only ratios of one round are
formed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

Work = Callable[[], object]
Timer = Callable[[Work, int], float]  # seconds that so many calls took


@dataclass(frozen=True)
class Spread:
    """The median of some rounds and the range in which the middle half of them lies."""

    median: float
    low: float
    high: float


def spread(values: np.ndarray) -> Spread:
    """Median, 25 % and 75 % quantile of (rounds,) values."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(low), float(high))


def cpu_seconds(work: Work, repeats: int) -> float:
    """CPU time of this process, all its threads: what others do meanwhile counts little."""
    started = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - started


def wall_seconds(work: Work, repeats: int) -> float:
    """Time on the clock: for what waits, or works in other processes."""
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    return time.perf_counter() - started


def device_seconds(work: Work, repeats: int) -> float:
    """Time between two events on the CUDA device: its work, and its waiting for the host."""
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    first.record()
    for _ in range(repeats):
        work()
    last.record()
    last.synchronize()
    milliseconds: float = first.elapsed_time(last)
    return milliseconds / 1000


def timer_of(device: torch.device) -> Timer:
    """How seconds are counted on `device`: CPU time of this process, or between two events of a GPU."""
    return device_seconds if device.type == "cuda" else cpu_seconds


def interleaved(
    cases: Mapping[str, Work], *, rounds: int, timer: Timer, least_seconds: float = 0.0, most: int = 1000
) -> dict[str, np.ndarray]:
    """(rounds,) seconds per call of every case. In each round all cases have their turn, in an order that
    moves on by one from round to round.

    A case that takes less than `least_seconds` is called several times in its turn, at most `most`. Each case
    is called before it counts: the first call allocates, and where `least_seconds` is given the second says
    how many calls make a turn.
    """
    repeats = dict.fromkeys(cases, 1)
    for name, work in cases.items():
        work()
        if least_seconds > 0:
            once = max(timer(work, 1), 1e-9)
            repeats[name] = int(min(max(1, np.ceil(least_seconds / once)), most))
    names = list(cases)
    seconds = {name: np.empty(rounds) for name in names}
    for k in range(rounds):
        start = k % len(names)
        for name in names[start:] + names[:start]:
            seconds[name][k] = timer(cases[name], repeats[name]) / repeats[name]
    return seconds
