"""The order of events of one run: build, resume, epochs, row. Running the same command again is resuming."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from msda_train.config import checks
from msda_train.config.build import build, with_defaults
from msda_train.config.fingerprint import fingerprint
from msda_train.core.files import replace_file
from msda_train.core.mix import HasTeacher, Method
from msda_train.core.paths import typed_path
from msda_train.records.rows import read_row, write_row
from msda_train.records.summary import CLASSIFICATION
from msda_train.training import checkpoint, gallery
from msda_train.training.device import compute_from
from msda_train.training.distributed import check_alone, check_partners
from msda_train.training.finished import complete, expected_row, row_of, run_folder
from msda_train.training.gan import GanRun
from msda_train.training.measured import auto, measured_config, stand_in
from msda_train.training.memory import reset_peak_memory
from msda_train.training.processes import enlist, together
from msda_train.training.profile import profile
from msda_train.training.run import Log, Run
from msda_train.training.run_cache import RunCache
from msda_train.training.step import Step

AXES = ("dataset", "model", "method", "recipe")
RUNS: dict[str, type[Run]] = {run.task: run for run in (Run, GanRun)}  # by task
SETTINGS = (
    *("task", "seed", "device", "precision", "compile", "graph", "deterministic", "threads"),
    *("devices", "runs", "checkpoint", "checkpoint_seconds", "profile"),
)


def train(
    cfg: DictConfig,
    names: Mapping[str, str | None],
    log: Log,
    cache: RunCache | None = None,
    seat: tuple[int, int] | None = None,
) -> Path | None:
    """Trains, or goes on training, the run that `cfg` describes and returns the path of its row; None where
    cfg.profile only asks where the time of a step goes, and in a process that does not lead its run.

    names: the words typed for data set, model, method, recipe, experiment; cache: what earlier runs of this
    process left, which changes no number; seat: see `processes.enlist`. Raises UserError for bad input,
    RunFailed when the loss is no longer finite.
    """
    cache = cache or RunCache()
    try:
        return _train(cfg, names, log, cache, seat)
    except BaseException:
        cache.clear()
        raise


def _train(
    cfg: DictConfig,
    names: Mapping[str, str | None],
    log: Log,
    cache: RunCache,
    seat: tuple[int, int] | None,
) -> Path | None:
    for word in cfg:  # `+sede=1` would be taken by Hydra and used by nobody
        checks.one_of("option", word, (*SETTINGS, *AXES, "probes"))
    checks.whole("seed", cfg.seed, least=0)
    checks.one_of("checkpoint", cfg.checkpoint, tuple(checkpoint.FORMS))
    checks.non_negative("checkpoint_seconds", cfg.checkpoint_seconds)
    checks.flag("profile", cfg.profile)
    checks.one_of("task", cfg.task, tuple(RUNS))
    kind = RUNS[cfg.task]
    team, compute = enlist(cfg, kind.fitting(cfg, compute_from(cfg)), seat)
    recipe, method = _recipe_and_method(stand_in(cfg), kind)  # before any data are read
    check_partners(team, method)
    check_alone(team, method)
    teacher = method.teacher_run() if isinstance(method, HasTeacher) else None
    if not team.called():
        return None
    if auto(cfg):
        cfg = measured_config(cfg, cache)
        recipe, method = _recipe_and_method(cfg, kind)
    typed: dict[str, Any] = {axis: OmegaConf.to_container(cfg[axis], resolve=True) for axis in AXES}
    config = {axis: with_defaults(axis, node) for axis, node in typed.items()}
    images = kind.data(cfg.dataset, config["dataset"], recipe, cfg.seed, team, cache)
    identity = fingerprint(config)
    folder = run_folder(typed_path("runs", cfg.runs), config, images.content, cfg.seed)
    saving = (cfg.checkpoint_seconds, folder, cache, teacher, cfg.checkpoint)
    run = kind(cfg.seed, identity, recipe, images, compute, *saving, team)
    if not team.leads:
        with together(team, cfg, log):
            run.train(_ready(run, cfg, method), log)
        return None
    with checkpoint.owned(folder):
        if cfg.profile:
            profile(run, run.prepare(cfg.model, method), folder, log)
            cache.clear()  # gradients are no longer where a recording would look for them
            return None
        row_path = folder / "row.json"
        if row_path.exists():
            log(complete(expected_row(row_path, identity, images.content, cfg.seed, teacher)))
            team.dismissed()
            return row_path
        replace_file(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True).encode())
        with together(team, cfg, log):
            step = _ready(run, cfg, method)
            log(compute.told)
            progress = run.train(step, log)
        if cfg.task == CLASSIFICATION:
            gallery.keep(run, step, log)
        write_row(row_path, row_of(run, progress, names, config) | ({"teacher": teacher} if teacher else {}))
        log(f"{complete(read_row(row_path))}\n{row_path}")
    cache.runs += 1
    cache.written.add(row_path)
    return row_path


def _recipe_and_method(cfg: DictConfig, kind: type[Run]) -> tuple[Any, Any]:
    recipe, method = (build(axis, cfg[axis], needed=kind.needs.get(axis)) for axis in ("recipe", "method"))
    return recipe, method


def _ready(run: Run, cfg: DictConfig, method: Method) -> Step:
    step = run.prepare(cfg.model, method)
    run.load()
    reset_peak_memory(run.compute.device)  # only now has everything of the run before been let go
    return step
