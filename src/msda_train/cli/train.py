"""`msda-train`: words to a config, a config to a run, runs to an exit code.

Nothing here imports torch before a run starts, so `--help` and mistakes answer at once.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from msda_train.cli.guard import report_error, run_guarded
from msda_train.cli.overrides import check_choices, check_complete, check_task, quote_text
from msda_train.cli.parser import Parser
from msda_train.config.compose import DEFAULTS
from msda_train.config.defaults import PACKAGE
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.records.row_checks import NAMES
from msda_train.training.run_cache import RunCache

STOPPED = "stopped; the same command goes on from the last checkpoint"


def log(line: str) -> None:
    """What a run reports, on stderr; it may be more than one line."""
    with suppress(OSError):  # a full disk behind stderr must not cost the run
        print(line, file=sys.stderr, flush=True)


@dataclass
class Jobs:
    """What became of the jobs of one command: paths of rows, exit codes of failures, and what the next may
    use again."""

    rows: list[Path] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    multirun: bool = False
    cache: RunCache = field(default_factory=RunCache)

    def run(self, cfg: DictConfig) -> None:
        """One job, called by Hydra. After a failure, the next job of a sweep starts."""
        self.multirun = HydraConfig.get().mode == RunMode.MULTIRUN
        # As typed: a ${...} in it is for the config to look up.
        typed: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        words = " ".join(typed)
        if self.multirun:
            log(f"msda-train {words}")
        self.train(cfg, HydraConfig.get().runtime.choices, words)

    def train(self, cfg: DictConfig, choices: Mapping[str, Any], words: str) -> None:
        """The same, with the names that were typed for groups."""
        try:
            self._train(cfg, choices)
        except Exception as error:
            self.failures.append(report_error("msda-train", error, words.split()))

    def _train(self, cfg: DictConfig, choices: Mapping[str, Any]) -> None:
        """Runs the config, then its probes; the names in the row are the words typed."""
        check_task(choices)
        check_complete(cfg)
        from msda_train.evaluation.probing import (  # torch: only once a run really starts
            build_probes,
            probe_run,
        )
        from msda_train.training.train import train

        names = {group: choices.get(group) for group in NAMES}
        for group in NAMES:
            target = OmegaConf.select(cfg, f"{group}._target_")
            if isinstance(target, str) and not target.startswith(PACKAGE):
                names[group] = target  # somebody's own class goes by its own name
        probes = build_probes(cfg.probes)
        row = train(cfg, names, log, self.cache)
        if row is None:
            return
        self.rows.append(row)
        if probes and (code := probe_run(row, probes, log, trust=row in self.cache.written)):
            self.failures.append(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Console entry; returns the exit code: 0 done, 1 a run failed, 2 bad input, 130 interrupted (129
    and 143: by SIGHUP and SIGTERM)."""
    jobs = Jobs()
    code = run_guarded("msda-train", lambda words: _hydra(jobs, words), STOPPED, argv)
    return max([code, *jobs.failures])


def run_words(words: Sequence[str], cache: RunCache) -> int:
    """`main` for the words of one run, no flags: composed once, where Hydra's command line does it twice.

    cache: what earlier runs of this process left for the next.
    """
    jobs = Jobs(cache=cache)
    code = run_guarded(
        "msda-train", lambda words: jobs.train(*_composed(words), " ".join(words)), STOPPED, words
    )
    return max([code, *jobs.failures])


def _composed(words: Sequence[str]) -> tuple[DictConfig, Mapping[str, Any]]:
    """The config, and the words typed for groups."""
    check_choices(words)
    with hydra.initialize_config_dir(str(CONFIGS), **DEFAULTS):
        cfg = hydra.compose("train", [quote_text(word) for word in words], return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _hydra(jobs: Jobs, arguments: list[str]) -> None:
    """Hydra's own command line, made to raise what it would print over many lines; a sweep's table."""
    sys.argv = ["msda-train", *_flags_first(arguments)]
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(**DEFAULTS, config_path=str(CONFIGS), config_name="train")(jobs.run)()
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    if jobs.multirun:
        _summarise(jobs)
    elif "--multirun" in sys.argv or "-m" in sys.argv:
        _refuse_no_jobs(sys.argv)


def _refuse_no_jobs(arguments: Sequence[str]) -> None:
    """A sweep of which nothing came: `seed=glob(*)` where nothing fits."""
    shows = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")
    if not any(word.partition("=")[0] in shows for word in arguments):
        raise UserError("-m: no job comes of these words; type -m OPTION=A,B")


def _flags_first(arguments: list[str]) -> list[str]:
    """Words and flags may be typed in any order; Hydra's parser wants the flags first."""
    hydra_parser = get_args_parser()
    parser = Parser("msda-train", parents=[hydra_parser], add_help=False, conflict_handler="resolve")
    parsed = parser.parse(arguments)
    if parsed.experimental_rerun:  # a pickle: whoever wrote the file says what is executed
        raise UserError("--experimental-rerun: not here; type the words of the run")
    if parsed.resolve and not parsed.cfg:
        raise UserError("--resolve: goes with --cfg job")
    check_choices(parsed.overrides)
    flags = [a for a in arguments if a not in parsed.overrides]
    flags = [f"--info={parsed.info}" if a in ("--info", "-i") else a for a in flags]  # else it takes a word
    return flags + [quote_text(word) for word in parsed.overrides]


def _summarise(jobs: Jobs) -> None:
    from msda_train.reporting.printed import print_table

    if jobs.rows:
        print_table(jobs.rows, prog="msda-train")
    done, failed = len(jobs.rows), len(jobs.failures)
    log(f"msda-train: {done} of {done + failed} jobs complete" + (f", {failed} failed" if failed else ""))


if __name__ == "__main__":
    sys.exit(main())
