"""Row 12: how long one waits for an answer, in new processes, on the clock, with all cores."""

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.child import environment, program
from bench.first_step import REACHED
from bench.settings import Settings
from bench.table import Row, at_most
from bench.timing import interleaved, spread, wall_seconds
from bench.workload import network_words, noise, words
from msda_train.core.errors import RunFailed

TEST_SHARE = 5


def rows(settings: Settings) -> Iterator[Row]:
    """--help, the list of tables, and the first training step of the full network on a CIFAR-sized cache."""
    goals = {
        "msda-train --help": at_most(4, 2),
        "msda-table list": at_most(1.5, 1),
        "first training step, data cached": at_most(8, 5),
    }
    with TemporaryDirectory() as folder:
        cases = {
            "msda-train --help": Process(["msda_train.cli.train", "--help"], 0),
            "msda-table list": Process(["msda_train.cli.table", "list"], 0),
            "first training step, data cached": _first_step(settings, Path(folder)),
        }
        seconds = interleaved(cases, rounds=settings.slow_rounds, timer=wall_seconds)
    for what, goal in goals.items():
        value, work = spread(seconds[what]), cases[what]
        note = f"of which {np.median(work.cpu_seconds[1:]):.2f} s are CPU time, of all cores together"
        rounds = settings.slow_rounds
        yield Row(12, what, value, "s", judged=value, judged_unit="s", goal=goal, rounds=rounds, note=note)


class Process:
    """Every call runs `python -m arguments` to its end; RunFailed where its exit code is not `expected`."""

    def __init__(self, arguments: list[str], expected: int):
        self.arguments, self.expected = arguments, expected
        self.cpu_seconds: list[float] = []

    def __call__(self) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(program(*self.arguments), capture_output=True, text=True, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != self.expected:
            told = f"exit code {done.returncode}: {done.stderr[-500:]}"
            raise RunFailed(f"{' '.join(self.arguments)}: {told}")
        self.cpu_seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _first_step(settings: Settings, folder: Path) -> Process:
    """The calls that do not count fill the cache."""
    typed = [*noise_words(settings, folder), f"runs={folder / 'runs'}"]
    return Process(["bench.first_step", *typed], REACHED)


def noise_words(settings: Settings, folder: Path) -> list[str]:
    """Words of a run of the full network on noise, as many images as CIFAR has, which lie in `folder`."""
    images = noise(settings.many, settings, test=max(settings.many // TEST_SHARE, 1))
    file = folder / "noise.npz"
    np.savez(file, x_train=images.x_train, y_train=images.y_train, x_test=images.x_test, y_test=images.y_test)
    return [
        *words(settings, *network_words(settings.epoch_width), "method=mixup"),
        *("dataset.source=npz", f"dataset.root={file}", f"dataset.cache={folder / 'cache'}"),
        f"device={settings.device}",
    ]
