"""The jobs of `msda-train`: what becomes of each, in whatever process it is trained.

A launcher of Hydra's may send a job to another process or machine. What becomes of it comes back as a value;
what it prints there nobody may see.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from msda_train.cli.guard import explain
from msda_train.cli.overrides import check_complete, check_task
from msda_train.config.defaults import PACKAGE
from msda_train.core.errors import UserError
from msda_train.core.programs import torchrun
from msda_train.records.row_checks import NAMES
from msda_train.records.rows import read_row
from msda_train.training.run_cache import RunCache

if TYPE_CHECKING:
    from msda_train.evaluation.probing import Asked


def log(line: str) -> None:
    """What a run reports, on stderr; it may be more than one line."""
    with suppress(OSError, ValueError):  # a full disk behind stderr must not cost the run
        print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    words: as typed; row: None where it has none; code: its exit code; told: what went wrong; here: whether
    it has been told on this process's stderr already.
    """

    words: str
    row: Path | None = None
    code: int = 0
    told: str = ""
    here: bool = True

    def __float__(self) -> float:
        """What a searching sweeper makes small: the row's error after the last epoch, of a held-out part of
        the training examples (`sweep.check_search`). ValueError where there is no row."""
        if self.row is None:
            raise ValueError(f"{self.words}: failed")
        return float(read_row(self.row).metrics["error/last"])


class Jobs:
    """Trains jobs, and keeps what became of them and what the next may use again.

    Sent to another process, it becomes the one of that process, whose jobs share a cache in turn. home: the
    folder where the command was typed, where that process has to stand.
    """

    def __init__(self, cache: RunCache | None = None, home: Path | None = None) -> None:
        self.cache, self._home = cache or RunCache(), home
        self.outcomes: list[Outcome] = []
        self.searched = False  # whether a sweeper chose jobs by what earlier ones measured

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_this_process, (Path.cwd(),)

    def run(self, cfg: DictConfig) -> Outcome:
        """One job, called by Hydra. After a failure, the next job of a sweep starts."""
        hydra = HydraConfig.get()
        # As typed: a ${...} in it is for the config to look up.
        typed: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
        words = " ".join(typed)
        sweep = hydra.mode == RunMode.MULTIRUN
        if sweep:
            log(f"msda-train {words}")
        return self.train(cfg, hydra.runtime.choices, words, sweep=sweep)

    def train(
        self, cfg: DictConfig, choices: Mapping[str, Any], words: str, *, sweep: bool = False
    ) -> Outcome:
        """The same, with the names that were typed for groups: the run, then its probes."""
        row, code, told = None, 0, ""
        try:
            self._go_home()
            check_task(choices)
            check_complete(cfg)
            if sweep and (torchrun() or cfg.devices not in (None, 1)):
                typed = "torchrun" if torchrun() else f"devices={cfg.devices}"
                raise UserError(f"{typed}: one run at a time, no sweep; take -m away, or {typed}")
            from msda_train.evaluation.probing import build_probes  # torch: only once a run really starts
            from msda_train.training.train import train

            probes = build_probes(cfg.probes)
            row = train(cfg, _names(cfg, choices), log, self.cache)
            if row is not None and probes:
                code, told = self._probe(row, probes)
        except Exception as error:
            code, told = explain("msda-train", error, words.split())
            if told:
                log(told)
        self.outcomes.append(Outcome(words, row, code, told, here=self._home is None))
        return self.outcomes[-1]

    def _go_home(self) -> None:
        if self._home is not None:
            try:
                os.chdir(self._home)
            except OSError:
                raise UserError(
                    f"{self._home}: not on the machine {platform.node()}; type the command in a folder that "
                    "all of them share"
                ) from None

    def _probe(self, row: Path, probes: "Sequence[Asked]") -> tuple[int, str]:
        """The exit code, and what was said where that is not 0."""
        from msda_train.evaluation.probing import probe_run

        told: list[str] = []

        def tell(line: str) -> None:
            log(line)
            told.append(line)

        code = probe_run(row, probes, tell, trust=row in self.cache.written)
        return code, "\n".join(told if code else [])


def _names(cfg: DictConfig, choices: Mapping[str, Any]) -> dict[str, str | None]:
    """What was typed for each group, as the row will say it."""
    names = {group: choices.get(group) for group in NAMES}
    for group in NAMES:
        target = OmegaConf.select(cfg, f"{group}._target_")
        if isinstance(target, str) and not target.startswith(PACKAGE):
            names[group] = target  # somebody's own class goes by its own name
    return names


@cache
def _of_this_process(home: Path) -> Jobs:
    return Jobs(home=home)
