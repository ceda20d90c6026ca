"""Which way to run a network's steps does most in the time there is: eager, recorded, compiled; one trainer
at a time, two, three. Measured on this device, within a bounded time."""

import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile

from bench.child import environment, program

WAYS: dict[str, tuple[str, ...]] = {
    "eager": (),
    "graph": ("graph=true",),
    "compile": ("compile=true",),
    "compile and graph": ("compile=true", "graph=true"),
}
TRAINERS = (2, 3)  # beside one
SECONDS = 2.0  # of training that are measured
MOST = 0.4  # of the time for measuring, for one way: to compile may take all of it
GAIN = 1.05  # less than this is no reason for more trainers


@dataclass(frozen=True)
class Way:
    """How to train: the words for it, how many trainers at once; images per second of all of them, and
    seconds until they train."""

    name: str
    words: tuple[str, ...]
    jobs: int
    rate: float
    start: float

    def images(self, seconds: float) -> float:
        """How many are trained on in `seconds`, the start included."""
        return self.rate * max(0.0, seconds - self.start)

    def __str__(self) -> str:
        trainers = f"{self.jobs} trainer{'s' * (self.jobs > 1)}"
        return f"{self.name}, {trainers}: {self.rate:,.0f} images/s, {self.start:.1f} s until the first"


def fastest(
    words: Sequence[str], *, cuda: bool, limit: float, left: float, cores: int, log: Callable[[str], None]
) -> Way | None:
    """The best way to train what the words say for `left` seconds; measuring takes `limit` seconds at most.
    None where nothing could be measured. cores: of the CPU, which several trainers share."""
    end = time.monotonic() + limit

    def tried(name: str, option: tuple[str, ...], jobs: int, more: tuple[str, ...] = ()) -> Way | None:
        first = jobs == 1 and not option  # what all others are compared with
        until = end if first else min(end, time.monotonic() + MOST * limit)
        try:
            way = Way(name, option, jobs, *measured([*words, *option, *more], jobs, until))
        except (TimeoutError, OSError) as error:
            log(f"{name}, {jobs} at once: not measured, {error}")
            return None
        log(str(way))
        return way

    possible = {name: option for name, option in WAYS.items() if cuda or "graph=true" not in option}
    ways = [way for name, option in possible.items() if (way := tried(name, option, 1))]
    if not ways:
        return None
    best = max(ways, key=lambda way: way.images(left))
    name, option = best.name, best.words
    typed = cuda or any(word.startswith("threads=") for word in words)
    for jobs in TRAINERS:
        more = tried(name, option, jobs, () if typed else (f"threads={max(1, cores // jobs)}",))
        if more and more.images(left) > GAIN * best.images(left):
            best = more
    return best


def measured(words: Sequence[str], jobs: int, end: float) -> tuple[float, float]:
    """Images per second of so many trainers of the words at once, and seconds until all of them trained.
    TimeoutError where `end` (time.monotonic) comes before; OSError, with its last words, where one ended."""
    began = time.monotonic()
    with ExitStack() as stack:
        trainers = [stack.enter_context(_Trainer(words, end)) for _ in range(jobs)]
        for each in trainers:
            each.answer()
        start = time.monotonic() - began
        for each in trainers:
            each.tell(f"{SECONDS}\n")
        return sum(float(each.answer()) for each in trainers), start


class _Trainer:
    """One process; it is killed at the end, whatever it does."""

    def __init__(self, words: Sequence[str], end: float) -> None:
        self._end = end
        self._errors = TemporaryFile()  # noqa: SIM115 (as long as the process)
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            program("bench.way_child", *words),
            stdin=pipe,
            stdout=pipe,
            stderr=self._errors,
            env=environment(),
        )

    def __enter__(self) -> "_Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def tell(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line.encode())
        self._child.stdin.flush()

    def answer(self) -> str:
        """Its next line."""
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, self._end - time.monotonic())):
                raise TimeoutError("the time for measuring was over")
        line = self._child.stdout.readline().decode()
        if not line:
            self._child.wait()
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines() or ["not a word"]
            raise OSError(f"exit code {self._child.returncode}: {last[-1]}")
        return line
