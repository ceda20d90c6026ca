"""Which runs a published table asks for: its distinct configurations times the seeds."""

import shlex
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msda_train.comparison.config_diff import experiment_choices
from msda_train.comparison.match import compose_configs
from msda_train.config.fingerprint import NODES, UNCOUNTED, fingerprint, former_fingerprint
from msda_train.launch.auto_words import in_numbers
from msda_train.records.bench import step_cost
from msda_train.records.published import Cell, Table

PLACES = ("source", "root", "cache")  # of data sets


@dataclass(frozen=True)
class Configuration:
    """What one training command line makes; cells that differ only in the metric (error, NLL) share it."""

    words: tuple[str, ...]  # after `msda-train`, without seed, runs, device and threads
    config: Mapping[str, Mapping[str, Any]]
    fingerprint: str
    cells: tuple[Cell, ...]

    @property
    def epochs(self) -> int:
        """0 where the recipe says none, which the trainer will refuse."""
        epochs = self.config["recipe"].get("epochs")
        return epochs if isinstance(epochs, int) else 0

    def choice(self, group: str) -> str:
        """The word of its data set, model or recipe: as typed, else as its experiment has it."""
        typed = [word.partition("=")[2] for word in self.words if word.startswith(f"{group}=")]
        return [experiment_choices(self.cells[0].experiment)[0].get(group, ""), *typed][-1]

    @property
    def step_cost(self) -> float:
        """Of a step of its method over one of ERM, where the benchmark has measured it; 1 or more."""
        return step_cost(self.cells[0].method)

    def answers(self, cell: Cell) -> bool:
        """Whether its runs hold the number that stands beside `cell`."""
        return cell.compared_with != "" and (cell.probes is None or f"probes={cell.probes}" in self.words)

    @property
    def title(self) -> str:
        """The papers' own words: `CIFAR-10, PreActResNet-18, None`."""
        first = self.cells[0]
        metrics = dict.fromkeys(cell.metric for cell in self.cells)
        setting = f", {first.setting}" if first.setting else ""
        return f"{first.dataset}, {first.model}, {first.label}{setting} ({', '.join(metrics)})"


@dataclass(frozen=True)
class Job:
    """One run: a configuration and a seed."""

    configuration: Configuration
    seed: int

    @property
    def fingerprint(self) -> str:
        """Of the configuration, without the seed."""
        return self.configuration.fingerprint

    @property
    def folders(self) -> set[str]:
        """How its folder may begin: runs that are finished keep the name of their time."""
        return {self.fingerprint, former_fingerprint(self.configuration.config)}

    @property
    def key(self) -> str:
        """Names the run's claim, log and failure; the data's content is not known before they are read, only
        where they lie."""
        return f"{self.fingerprint}-{self.name}"

    @property
    def name(self) -> str:
        """The seed, and a mark of the place where the config says that data of one's own lie."""
        root = self.configuration.config["dataset"].get("root")
        place = Path(str(root)).absolute()
        mark = "" if root is None else f"-{zlib.crc32(str(place).encode()):08x}"
        return f"s{self.seed}{mark}"

    def words(self, runs: str, device: str | None = None, threads: int | None = None) -> list[str]:
        """Everything to type after `msda-train`."""
        words = [*self.configuration.words, f"seed={self.seed}"]
        words += [f"runs={runs}"] if runs != "runs" else []
        words += [f"device={device}"] if device else []
        return words + ([f"threads={threads}"] if threads else [])


@dataclass(frozen=True)
class Plan:
    """`published`: whether the runs are the published configurations, not a variation of them."""

    name: str  # PAPER/TABLE
    table: Table
    extra: tuple[str, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    published: bool

    @property
    def not_runnable(self) -> int:
        """How many cells of the table cannot be run."""
        return sum(cell.not_runnable is not None for cell in self.table.cells)

    @property
    def jobs(self) -> list[Job]:
        """Seed by seed, so that every configuration has its first number early."""
        return [Job(each, seed) for seed in self.seeds for each in self.configurations]


def make_plan(name: str, table: Table, seeds: Sequence[int], extra: Sequence[str]) -> Plan:
    """The runs of `table`, each with the words `extra` behind its own; UserError where they do not
    compose."""
    runnable = [cell for cell in table.cells if cell.not_runnable is None]
    typed_words = [(*cell.overrides, *extra) for cell in runnable]
    wanted, configs = in_numbers(compose_configs(dict.fromkeys(typed_words)))
    groups: dict[str, list[Cell]] = {}
    words_of: dict[str, tuple[str, ...]] = {}
    for cell, first in zip(runnable, typed_words, strict=True):
        words = wanted[first]
        mark = fingerprint(configs[words])
        groups.setdefault(mark, []).append(cell)
        if mark not in words_of or (cell.probes and not _probed(words_of[mark])):
            words_of[mark] = words  # of cells that share their runs, one may want probes
    made = [
        Configuration(words_of[mark], configs[words_of[mark]], mark, tuple(cells))
        for mark, cells in groups.items()
    ]
    return Plan(name, table, tuple(extra), tuple(seeds), tuple(made), _as_published(runnable, made, extra))


def _as_published(cells: Sequence[Cell], made: Sequence[Configuration], extra: Sequence[str]) -> bool:
    """Whether `extra` changes no fingerprint; composing again is saved where it plainly cannot."""
    if all(_uncounted(word) for word in extra):
        return True
    plain = compose_configs(dict.fromkeys(cell.overrides for cell in cells))
    return {fingerprint(config) for config in plain.values()} == {each.fingerprint for each in made}


def _probed(words: Sequence[str]) -> bool:
    return any(word.startswith("probes=") for word in words)


def _uncounted(word: str) -> bool:
    """Facts of the data, such as dataset.mean, are not counted there, but where the recipe has them."""
    node, _, key = word.partition("=")[0].partition(".")
    return node not in NODES or key in (PLACES if node == "dataset" else UNCOUNTED.get(node, ()))


def typed(words: Sequence[str]) -> str:
    """`msda-train WORDS` as a shell takes it."""
    return shlex.join(["msda-train", *words])
