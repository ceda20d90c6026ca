"""`msda-train`: words to a config, a config to a run, runs to an exit code.

Nothing here imports torch before a run starts, so `--help` and mistakes answer at once.
"""

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from msda_train import signals
from msda_train.compose import DEFAULTS
from msda_train.errors import RunFailed, UserError
from msda_train.paths import CONFIGS
from msda_train.results.rows import NAMES
from msda_train.runner.kept import Kept
from msda_train.words import explain, one_of_each, quoted


def say(line: str) -> None:
    """One line for the person at the terminal; results go to stdout, all else to stderr."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Jobs:
    """What became of the jobs of one command: paths of rows, exit codes of failures, and what the next may
    use again."""

    rows: list[Path] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    multirun: bool = False
    kept: Kept = field(default_factory=Kept)

    def run(self, cfg: DictConfig) -> None:
        """One job, called by Hydra. A failure is told and remembered, so the next job of a sweep starts."""
        self.multirun = HydraConfig.get().mode == RunMode.MULTIRUN
        words = " ".join(HydraConfig.get().overrides.task)
        if self.multirun:
            say(f"msda-train {words}")
        self.train(cfg, HydraConfig.get().runtime.choices, words)

    def train(self, cfg: DictConfig, choices: Mapping[str, Any], words: str) -> None:
        """The same, with the names that were typed for groups."""
        try:
            self._train(cfg, choices)
        except (UserError, RunFailed) as e:
            say(f"msda-train: {e}")
            self.failures.append(e.exit_code)
        except Exception:  # a bug, ours or of somebody's own method: its traceback is wanted
            traceback.print_exc()
            say(f"msda-train: failed: {words}")
            self.failures.append(1)

    def _train(self, cfg: DictConfig, choices: Mapping[str, Any]) -> None:
        """Runs the config, then its probes; the names in the row are the words typed."""
        from msda_train.runner.probing import build_probes, probe_run  # torch: only once a run really starts
        from msda_train.runner.train import train

        names = {group: choices.get(group) for group in NAMES}
        for group in NAMES:
            target = OmegaConf.select(cfg, f"{group}._target_")
            if isinstance(target, str) and not target.startswith("msda_train."):
                names[group] = target  # somebody's own class goes by its own name
        probes = build_probes(cfg.probes)
        row = train(cfg, names, say, self.kept)
        if row is None:
            return
        self.rows.append(row)
        if probes and (code := probe_run(row, probes, say, trust=True)):
            self.failures.append(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Console entry; returns the exit code: 0 done, 1 a run failed, 2 bad input, 130 interrupted (129
    and 143: by SIGHUP and SIGTERM)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    jobs = Jobs()
    code = _guarded(lambda: _hydra(jobs, arguments), arguments)
    if code == 0 and jobs.multirun:
        _tell(jobs)
    return max([code, *jobs.failures])


def run_words(words: Sequence[str], kept: Kept) -> int:
    """`main` for the words of one run, no flags: composed once, where Hydra's command line does it twice.

    kept: what earlier runs of this process left for the next.
    """
    jobs = Jobs(kept=kept)
    code = _guarded(lambda: jobs.train(*_composed(words), " ".join(words)), words)
    return max([code, *jobs.failures])


@signals.heeded()
def _guarded(work: Callable[[], None], arguments: Sequence[str]) -> int:
    """The exit code of `work`, once what went wrong has been told."""
    if os.getcwd() not in sys.path:  # so that `method._target_=my_file.MyMix` finds a file of this folder
        sys.path.append(os.getcwd())
    try:
        work()
    except UserError as e:
        say(f"msda-train: {e}")
        return e.exit_code
    except (HydraException, OmegaConfBaseException) as e:
        say(f"msda-train: {explain(e, [a for a in arguments if '=' in a])}")
        return 2
    except OSError as e:
        say(
            f"msda-train: {e.filename or 'runs'}: {e.strerror or e}; type runs=FOLDER, a folder you may write"
        )
        return 2
    except KeyboardInterrupt as stop:
        say("msda-train: stopped; the same command goes on from the last checkpoint")
        return signals.exit_code(stop)
    return 0


def _composed(words: Sequence[str]) -> tuple[DictConfig, Mapping[str, Any]]:
    """The config, and the words typed for groups."""
    one_of_each(words)
    with hydra.initialize_config_dir(str(CONFIGS), **DEFAULTS):
        cfg = hydra.compose("train", [quoted(word) for word in words], return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _hydra(jobs: Jobs, arguments: list[str]) -> None:
    """Hydra's own command line, made to raise what it would print over many lines."""
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


def _flags_first(arguments: list[str]) -> list[str]:
    """Words and flags may be typed in any order; Hydra's parser wants the flags first."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; type msda-train --help")

    parser.error = refuse  # type: ignore[method-assign]
    words = parser.parse_intermixed_args(arguments).overrides
    one_of_each(words)
    return [a for a in arguments if a not in words] + [quoted(word) for word in words]


def _tell(jobs: Jobs) -> None:
    from msda_train.results.printed import print_table

    if jobs.rows:
        print_table(jobs.rows, prog="msda-train")
    done, failed = len(jobs.rows), len(jobs.failures)
    say(f"msda-train: {done} of {done + failed} jobs complete" + (f", {failed} failed" if failed else ""))


if __name__ == "__main__":
    sys.exit(main())
