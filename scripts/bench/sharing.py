"""Rows 16 and 17: what runs gain that share a process, and what they lose that share a machine."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.child import environment, program
from bench.settings import Settings
from bench.startup import noise_words
from bench.table import Row, at_least, at_most
from bench.timing import spread
from bench.workload import network_words
from msda_train.core.errors import RunFailed

# A start does not depend on it, and a later step, which is taken off, should be short beside the start.
START_BATCH = 16
FEW = 2  # rounds with torch.compile: the first start of each takes a minute


def start_rows(settings: Settings) -> Iterator[Row]:
    """Row 16, as the planner's worker makes them: the start of a plan's second run over that of its first."""
    few = replace(settings, batch=min(START_BATCH, settings.batch))
    with TemporaryDirectory() as folder:
        typed = [*noise_words(few, Path(folder)), "threads=1", "recipe.epochs=1"]
        for option, rounds in (("", settings.slow_rounds), ("compile=true", min(FEW, settings.slow_rounds))):
            words = [*typed, *([option] if option else [])]
            # The first round fills caches, of decoded images and of compiled code; it does not count.
            seconds = np.array([_starts(words) for _ in range(rounds + 1)][1:])
            first, second = seconds.T
            yield Row(
                16,
                f"start of a plan's second run over its first{option and ', ' + option}",
                spread(second),
                "s",
                "the first",
                spread(first),
                spread(second / first),
                goal=at_most(0.1, 0.05),
                rounds=rounds,
            )


def _starts(words: Sequence[str]) -> tuple[float, float]:
    """Seconds of the first and of the second, which begin in an empty folder of runs."""
    with TemporaryDirectory() as runs:
        command = program("bench.start_child", repr(time.time()), *words)
        done = subprocess.run([*command, f"runs={runs}"], capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(command[2:])}: exit code {done.returncode}: {done.stderr[-500:]}")
    first, second = json.loads(done.stdout)
    return first, second


def side_rows(settings: Settings) -> Iterator[Row]:
    """Row 17: as many steps of two processes of one thread, one after the other over side by side."""
    cuda = settings.device.type == "cuda"
    width = settings.epoch_width if cuda else settings.width
    words = [str(settings.device), str(settings.batch), *network_words(width), "method=mixup"]
    images = 2 * settings.batch * settings.side_steps
    alone, together = [], []
    with ExitStack() as stack:
        pair = [stack.enter_context(_Trainer(words)) for _ in range(2)]
        for k in range(settings.slow_rounds + 1):
            one_by_one = sum(_seconds([each], settings.side_steps) for each in pair)
            both = _seconds(pair, settings.side_steps)
            if k:  # in the first round both still allocate
                alone.append(images / one_by_one)
                together.append(images / both)
    rates = np.array([together, alone])
    yield Row(
        17,
        "two runs side by side, one thread each",
        spread(rates[0]),
        "images/s",
        "one after the other",
        spread(rates[1]),
        spread(rates[0] / rates[1]),
        goal=None if cuda else at_least(1.7, 1.9),
        rounds=settings.slow_rounds,
    )


class _Trainer:
    """A process that makes training steps when it is told to."""

    def __init__(self, words: Sequence[str]) -> None:
        command = program("bench.side_child", *words)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment())

    def __enter__(self) -> "_Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # closes its stdin: it has nothing to do and ends

    def begin(self, steps: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Waits until the steps are made; RunFailed where it ended instead."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "done\n":
            raise RunFailed(f"bench.side_child: exit code {self.process.wait()}")


def _seconds(trainers: Sequence[_Trainer], steps: int) -> float:
    """Seconds until all of them have made so many steps."""
    started = time.perf_counter()
    for each in trainers:
        each.begin(steps)
    for each in trainers:
        each.end()
    return time.perf_counter() - started
