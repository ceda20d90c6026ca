"""Who is told how a run goes: the seam between a run and the tools that people keep open.

A logger is told of the run once, then of every epoch, then of the row; `loggers/` has them. Nothing that it
does can change or stop a run: what goes wrong there is said once, and the run goes on without it.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self

from msda_train.core.errors import UserError
from msda_train.records.summary import HELD_OUT, METRICS, TASKS

Epoch = Mapping[str, float]  # the numbers of one epoch, by their names in the row's history; `epoch` from 1


@dataclass(frozen=True)
class About:
    """What a logger is told of a run when it begins.

    name: of this run among all others, fit for a file; group: of the seeds of one configuration; folder: the
    run's own; options: every option of its config at its value, `method.alpha`, and the seed.
    """

    name: str
    group: str
    folder: Path
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """An example of what the method made of a batch: a PNG file's content, and its label in words."""

    png: bytes
    label: str


class Logger(Protocol):
    """What a logger does. It may raise whatever it likes."""

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """The run begins, or goes on after the epochs `done`. What the logger has of later ones, which were
        lost with a killed process, is void: they will come again."""
        ...

    def epoch(self, numbers: Epoch) -> None:
        """One more has ended."""
        ...

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """The row has been written."""
        ...

    def close(self) -> None:
        """Nothing follows, whether the run is finished or was interrupted."""
        ...


@dataclass
class Audience:
    """The loggers of one run, by the words that name them. A context: it closes them."""

    about: About | None = None
    loggers: dict[str, Logger] = field(default_factory=dict)
    log: Callable[[str], None] = print

    def begin(self, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        if (about := self.about) is not None:
            self._each(lambda logger: logger.begin(about, done))

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`."""
        self._each(lambda logger: logger.epoch(numbers))

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """See `Logger`."""
        self._each(lambda logger: logger.end(row, pictures))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._each(lambda logger: logger.close())

    def _each(self, tell: Callable[[Logger], None]) -> None:
        for name, logger in list(self.loggers.items()):
            try:
                tell(logger)
            except Exception as error:
                del self.loggers[name]
                why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                self.log(f"{name}: failed ({why}); the run goes on without it")
                with suppress(Exception):
                    logger.close()


def numbers_of(measured: Mapping[str, Any], speed: float, *, apart: bool) -> Epoch:
    """An epoch of the history without what is no number, with `speed` in examples per second. `apart`: its
    metrics are those of a held-out part of the training examples, and get names that say so."""
    plain = {
        f"{HELD_OUT}_{key}" if apart and key in METRICS else key: value
        for key, value in measured.items()
        if isinstance(value, int | float)
    }
    return {**plain, "images_per_second": speed}


def titled(numbers: Epoch) -> dict[str, float]:
    """The same under names that the tools sort into groups: test/error, train/lr, speed/seconds; of a
    held-out part held_out/error, of a validation part validation/nll."""
    tested = {metric: f"test/{metric}" for metrics in TASKS.values() for metric in metrics}
    tested |= {f"{HELD_OUT}_{metric}": f"{HELD_OUT}/{metric}" for metric in METRICS}
    tested |= {f"validation_{metric}": f"validation/{metric}" for metric in METRICS}
    found = {}
    for key, value in numbers.items():
        fast = key == "images_per_second" or key.endswith("seconds")
        other = f"speed/{key}" if fast else f"train/{key.removeprefix('train_')}"
        if key != "epoch":
            found[tested.get(key, other)] = float(value)
    return found


def about(folder: Path, config: Mapping[str, Any], names: Mapping[str, Any], seed: int) -> About:
    """What a logger is told of the run in `folder`, whose words are `names`."""
    words = [str(names[axis]) for axis in ("dataset", "model", "method") if names.get(axis)]
    group = re.sub(r"[^\w.-]+", "_", "-".join(words))[:80] + f"-{folder.parent.name}"
    return About(f"{group}-s{seed}", group, folder, options_of(config, names, seed))


def options_of(config: Mapping[str, Any], names: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The words of a run, then every option by its dotted name, but for a place on this machine; lists as
    text."""
    flat: dict[str, Any] = {key: str(name) for key, name in names.items() if name} | {"seed": seed}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, item in node.items():
                if key != "cache":
                    walk(f"{path}.{key}", item)
        else:
            flat[path] = node if isinstance(node, bool | int | float) else str(node)[:500]

    for axis, node in config.items():
        walk(axis, node)
    return flat


def row_text(row: Mapping[str, Any]) -> str:
    """The finished row as indented JSON, without the epochs, which the tools have already."""
    return json.dumps({key: value for key, value in row.items() if key != "history"}, indent=1)


def needs_package(module: str, name: str, package: str) -> None:
    """UserError where the package that logger=`name` writes with is not installed."""
    if find_spec(module) is None:
        raise UserError(f"logger={name}: needs {package}; type pip install 'msda-train[{name}]'")
