"""`msda-train`: words to a config, a config to a run, runs to an exit code.

Nothing here imports torch before a run starts, so `--help` and mistakes answer at once.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, open_dict

from msda_train.cli.guard import run_guarded
from msda_train.cli.help import asked, short_help
from msda_train.cli.jobs import Jobs, log
from msda_train.cli.overrides import check_choices, of_swept_groups, quote_text, without_plus
from msda_train.cli.parser import Parser
from msda_train.cli.sweep import collected
from msda_train.config.compose import DEFAULTS
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.training.run_cache import RunCache

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # what --info can tell
STOPPED = "stopped; the same command goes on from the last checkpoint"


def main(argv: Sequence[str] | None = None) -> int:
    """Console entry; returns the exit code: 0 done, 1 a run failed, 2 bad input, 130 interrupted (129
    and 143: by SIGHUP and SIGTERM)."""
    jobs = Jobs()
    code = run_guarded("msda-train", lambda words: _hydra(jobs, words), STOPPED, argv)
    return max([code, *(each.code for each in jobs.outcomes)])


def run_words(words: Sequence[str], cache: RunCache) -> int:
    """`main` for the words of one run, no flags: composed once, where Hydra's command line does it twice.

    cache: what earlier runs of this process left for the next.
    """
    jobs = Jobs(cache)
    code = run_guarded(
        "msda-train", lambda words: jobs.train(*_composed(words), " ".join(words)).code, STOPPED, words
    )
    return code


def _composed(words: Sequence[str]) -> tuple[DictConfig, Mapping[str, Any]]:
    """The config, and the words typed for groups."""
    words = [without_plus(word) for word in words]
    check_choices(words)
    with hydra.initialize_config_dir(str(CONFIGS), **DEFAULTS):
        cfg = hydra.compose("train", [quote_text(word) for word in words], return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _hydra(jobs: Jobs, arguments: list[str]) -> None:
    """Hydra's own command line, made to raise what it would print over many lines; a sweep's table."""
    if asked(arguments):
        print(short_help(), end="")
        return
    arguments = ["--help" if word == "--help-all" else without_plus(word) for word in arguments]
    sys.argv = ["msda-train", *_flags_first(arguments)]
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with collected(jobs):
            hydra.main(**DEFAULTS, config_path=str(CONFIGS), config_name="train")(jobs.run)()
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    if _is_sweep(sys.argv):
        _summarise(jobs, sys.argv)


def _is_sweep(words: Sequence[str]) -> bool:
    return not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(words)


def _flags_first(arguments: list[str]) -> list[str]:
    """Words and flags may be typed in any order; Hydra's parser wants the flags first."""
    hydra_parser = get_args_parser()
    parser = Parser("msda-train", parents=[hydra_parser], add_help=False, conflict_handler="resolve")
    arguments = _info_in_one(arguments)
    parsed = parser.parse(arguments)
    if parsed.experimental_rerun:  # a pickle: whoever wrote the file says what is executed
        raise UserError("--experimental-rerun: not here; type the words of the run")
    if parsed.resolve and not parsed.cfg:
        raise UserError("--resolve: goes with --cfg job")
    check_choices(parsed.overrides)
    launcher = [word for word in parsed.overrides if word.startswith(("hydra/launcher", "hydra.launcher"))]
    if launcher and not (_is_sweep(arguments) or parsed.cfg or parsed.info):
        raise UserError(f"{launcher[0]}: only a sweep is launched; type -m")
    flags = [a for a in arguments if a not in parsed.overrides]
    words = [quote_text(word) for word in parsed.overrides]
    return flags + (of_swept_groups(words) if _is_sweep(arguments) else words)


def _info_in_one(arguments: Sequence[str]) -> list[str]:
    """`--info` with what it shall tell: alone, it would take an override behind it for that."""
    found: list[str] = []
    for word in arguments:
        if found and found[-1] == "--info" and word in INFO:
            found[-1] = f"--info={word}"
        else:
            found.append("--info" if word == "-i" else word)
    return [f"--info={INFO[0]}" if word == "--info" else word for word in found]


def _summarise(jobs: Jobs, arguments: Sequence[str]) -> None:
    """A sweep's table. UserError for one of which nothing came: `seed=glob(*)` where nothing fits."""
    from msda_train.reporting.print_table import print_table

    if not jobs.outcomes:
        shows = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")
        if any(word.partition("=")[0] in shows for word in arguments):
            return
        raise UserError("-m: no job comes of these words; type -m OPTION=A,B")
    rows = [each.row for each in jobs.outcomes if each.row]
    failed = sum(each.code != 0 for each in jobs.outcomes)
    if rows:
        print_table(rows, prog="msda-train")
    if rows and jobs.searched:
        best = min((each for each in jobs.outcomes if each.row), key=float)
        log(f"msda-train: smallest held-out error {100 * float(best):.2f} %: {best.words}")
    counted = f"{len(rows)} of {len(jobs.outcomes)} jobs complete"
    log(f"msda-train: {counted}" + (f", {failed} failed" if failed else ""))


if __name__ == "__main__":
    sys.exit(main())
