"""Sweeps on launchers of Hydra's: basic (one job after another, here), joblib, submitit, ray.

A launcher returns what each job handed back, and Hydra's command line keeps that to itself. So the launcher
is wrapped where Hydra makes it.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msda_train.cli.guard import log as tell
from msda_train.cli.jobs import Jobs, Outcome, log
from msda_train.cli.overrides import launcher_options, missing_plugin, unread_option
from msda_train.config.fingerprint import NODES, fingerprint
from msda_train.core.errors import UserError
from msda_train.core.paths import typed_path
from msda_train.launch.claims import Disk
from msda_train.launch.plan import Configuration, Job
from msda_train.records.summary import CLASSIFICATION

LOOK_SECONDS = 1.0
HYDRA = (HydraException, OmegaConfBaseException)
# How joblib, submitit and Ray call it that a worker has died; the run is not to blame. By name: none of them
# has to be installed.
DEATHS = ("BrokenExecutor", "UncompletedJobError", "RayError")


@contextmanager
def collected(jobs: Jobs) -> Iterator[None]:
    """In the block, what Hydra's launchers bring back from elsewhere joins the outcomes of `jobs`."""
    make = Plugins.instantiate_launcher

    def wrapped(
        self: Plugins, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> Launcher:
        return Collecting(make(self, hydra_context, task_function, config), hydra_context, config, jobs)

    Plugins.instantiate_launcher = wrapped  # type: ignore[method-assign]
    try:
        yield
    finally:
        Plugins.instantiate_launcher = make  # type: ignore[method-assign]


class Collecting(Launcher):
    """A launcher, and somebody who waits for its jobs' outcomes."""

    def __init__(self, launcher: Launcher, context: HydraContext, config: DictConfig, jobs: Jobs) -> None:
        self._launcher, self._context, self._config, self._jobs = launcher, context, config, jobs
        check_search(config)
        if searches(config):
            jobs.searched = True
            for told_already in ("hydra_plugins", "optuna"):
                logging.getLogger(told_already).setLevel(logging.CRITICAL)
        self._name = str(config.hydra.runtime.choices["hydra/launcher"])
        known = launcher_options(self._name)
        for key in config.hydra.launcher:  # `+hydra.launcher.n_jobz=2` gets past Hydra
            if key != "_target_" and (word := f"hydra.launcher.{key}") not in known:
                raise UserError(unread_option(word, known))

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra has done so before it was wrapped."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What each job returned; nothing where the launcher ended without saying so, but then, too, every
        job has an outcome. Raises UserError where it cannot launch."""
        try:
            returned = self._launcher.launch(job_overrides, initial_job_idx)
        except Exception as error:
            if any(kind.__name__ in DEATHS for kind in type(error).__mro__):
                self._look_after(job_overrides, _line(error))
                return []
            if isinstance(error, ImportError) and (told := missing_plugin("hydra/launcher", self._name)):
                raise UserError(told) from None
            if self._name == "basic" or isinstance(error, (UserError, OSError, *HYDRA)):
                raise
            raise UserError(f"hydra/launcher={self._name}: {_line(error)}") from None
        for each in returned:
            self._keep(each.return_value)
        return returned

    def _keep(self, outcome: Outcome) -> None:
        if outcome.here:  # kept and told already
            return
        if outcome.code:
            log(f"msda-train {outcome.words}\n{outcome.told}")
        self._jobs.outcomes.append(outcome)

    def _look_after(self, job_overrides: Sequence[Sequence[str]], why: str) -> None:
        """A worker has died, and its launcher with it: what became of the jobs says the disk."""
        tell("msda-train", f"hydra/launcher={self._name}: a worker died ({why}); the same command goes on")
        for overrides in job_overrides:
            words, row = " ".join(overrides), None
            with suppress(UserError, *HYDRA):  # words that make no sense have no row
                row = self._row(overrides)
            if row is None:
                log(f"msda-train {words}\nmsda-train: not finished")
            self._jobs.outcomes.append(Outcome(words, row, 0 if row else 1))

    def _row(self, overrides: Sequence[str]) -> Path | None:
        """Of the run of these words, once nobody is training it."""
        cfg = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        config: dict[str, Any] = {node: OmegaConf.to_container(cfg[node], resolve=True) for node in NODES}
        made = Configuration(tuple(overrides), config, fingerprint(config), ())
        disk, job = Disk(typed_path("runs", cfg.runs)), Job(made, cfg.seed)
        while disk.in_training(job) and not disk.row(job):
            time.sleep(LOOK_SECONDS)
        row = disk.row(job)
        return row.path if row else None


def searches(config: DictConfig) -> str:
    """The word for a sweeper that chooses its jobs by what earlier ones measured; empty for the basic one."""
    name = str(config.hydra.runtime.choices["hydra/sweeper"])
    return "" if name == "basic" else f"hydra/sweeper={name}"


def check_search(config: DictConfig) -> None:
    """UserError where a sweeper would choose by the test error."""
    word = searches(config)
    if word and config.task != CLASSIFICATION:
        raise UserError(f"{word}: searches for a small error, and task={config.task} has none; leave it out")
    if word and not config.dataset.get("holdout"):
        raise UserError(f"{word}: would choose by the error on the test set; type dataset.holdout=0.1")


def _line(error: Exception) -> str:
    """The line of a long message that says what happened: of a traceback in it, the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    traced = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
    return (traced or lines)[-1 if traced else 0]
