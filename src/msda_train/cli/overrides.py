"""Overrides as people type them, made ready for Hydra; and what Hydra says about wrong ones, in one line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msda_train.config import checks
from msda_train.config.compose import compose
from msda_train.config.groups import words_of
from msda_train.core.errors import UserError, nearest
from msda_train.records.summary import CLASSIFICATION, TASKS

MOST_JOBS = 100_000  # of one sweep
GROUPS = ("task", "dataset", "model", "regulariser", "method", "recipe", "experiment", "logger")
TEXT_OPTIONS = (
    *("runs", "dataset.root", "dataset.cache", "dataset.name", "dataset.target"),
    *("dataset.synsets", "dataset.val_list"),
    *("method.teacher", "method.weights", "probes.adversarial.source", "logger.folder", "logger.uri"),
)
SETTING_TYPES: dict[str, Any] = {  # of train.yaml; the options of a class have theirs in the class
    **dict.fromkeys(("task", "device", "precision", "runs", "checkpoint"), str),
    **dict.fromkeys(("compile", "graph", "deterministic", "profile"), bool),
    **dict.fromkeys(("threads", "workers", "devices"), int | None),
    "seed": int,
    "checkpoint_seconds": float,
}
# Hydra's launchers and sweepers that come with a package of their own, and the extra that has it.
PLUGINS = {
    "hydra/launcher": {
        "joblib": "joblib",
        "submitit_local": "slurm",
        "submitit_slurm": "slurm",
        "ray": "ray",
    },
    "hydra/sweeper": {"optuna": "optuna"},
}
NODES = ("dataset", "model", "method", "recipe", "probes", "logger")


def quote_text(word: str) -> str:
    """The override `word` with its value in quotes where that is text, such as a path: Hydra would take 2024
    or true for something else, and stop at special signs. UserError for a list."""
    key, sign, value = word.partition("=")
    if key in (*GROUPS, "probes") and re.fullmatch(r"[-+.\d].*|(?i:true|false|nan|inf)", value):
        return f'{key}="{value}"'  # no file has such a name: Hydra shall say so
    if key.lstrip("+") not in TEXT_OPTIONS or not sign or value == "null" or re.search(r"[\"']|\$\{", value):
        return word
    if value[:1] in ("[", "{"):
        raise UserError(f"{word}: must be one word; a folder or file of that name is {key}=./{value}")
    parts = [value] if re.search(r"[()\[\]{}]", value) else value.split(",")  # a sweep's values
    if len(parts) == 1 and "," in value:
        return word
    return f"{key}=" + ",".join('"' + re.sub(r"(\\+)$", r"\1\1", part) + '"' for part in parts)


def without_plus(word: str) -> str:
    """`+experiment=NAME`, as Hydra's own examples have it, without the plus: the group is there already."""
    return word[1:] if word.startswith("+") and word[1:].partition("=")[0] in (*GROUPS, "probes") else word


def of_swept_groups(words: Sequence[str]) -> list[str]:
    """`method=mixup,cutmix method.alpha=0.2` for a sweep: the option becomes a choice of one value.

    Hydra first composes what all jobs share, without what is swept: it would look for the alpha of the
    default method. What cannot be read is left as it is; Hydra says why.
    """
    read = []
    for word in words:
        try:
            read.append(OverridesParser.create().parse_override(word))
        except (HydraException, OverrideParseException):
            return list(words)
    swept = {each.key_or_group for each in read if each.is_sweep_override()} & {*GROUPS, "probes"}
    made = []
    for word, each in zip(words, read, strict=True):
        key, _, value = word.partition("=")
        inside = key.lstrip("+").partition(".")[0] in swept and "." in key
        alone = inside and not each.is_sweep_override() and not each.is_delete()
        made.append(f"{key}=choice({value})" if alone else word)
    return made


def check_complete(cfg: DictConfig) -> None:
    """UserError where something that train.yaml declares is missing or of another type: the command line, or
    a user's own file, can take anything away."""
    for node in NODES:
        if not isinstance(OmegaConf.select(cfg, node), DictConfig):
            raise UserError(f"{node}: is no node of options; type {node}=NAME, {nearest('', _choices(node))}")
    for key in SETTING_TYPES:
        if key not in cfg:
            raise UserError(f"{key}: has to be there; take ~{key} away")
    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as e:
        raise UserError(f"{e.full_key or 'config'}: {str(e).splitlines()[0]}") from None
    for key, kind in SETTING_TYPES.items():
        checks.kind(key, plain[key], kind)
    for probe, options in plain["probes"].items():
        if not (options is None or isinstance(options, dict)):
            raise UserError(f"probes.{probe}={checks.shown(options)}: must be a node, or null for without it")
    if not plain["runs"].strip():
        raise UserError("runs=: must be a folder; type runs=runs")


def check_choices(words: Sequence[str]) -> None:
    """UserError for two files of one group, or two methods: Hydra would mix their options, or take the last
    and say nothing."""
    methods = [word for word in words if word.startswith("method=")]
    for word in words:
        key, sign, value = word.partition("=")
        _check_sweep(word)
        if key in GROUPS and sign and value == "null":
            missing = "no experiment is what goes without saying; leave the word out"
            chosen = f"a {key} has to be chosen; {nearest('', _choices(key))}"
            raise UserError(f"{word}: {missing if key == 'experiment' else chosen}")
        if key == "hydra" or (key == "probes" and value == "null"):
            raise UserError(
                f"{word}: cannot be; type {'hydra.OPTION=VALUE' if key == 'hydra' else 'probes=none'}"
            )
        if (key in GROUPS and value.startswith("[")) or word in methods[1:]:
            both = word if value.startswith("[") else " ".join(methods)
            also = "; cutout goes with any method as recipe.cutout=16" if key == "method" else ""
            raise UserError(f"{both}: one {key} at a time; -m {key}=A,B runs one after the other{also}")


def check_task(choices: Mapping[str, Any]) -> None:
    """UserError for a file of one task typed with another task; `choices` are the names of all groups. The
    files of classification lie in a group's own folder, those of a task NAME below it, in NAME."""
    task = str(choices.get("task"))
    own = "" if task == CLASSIFICATION else task
    for group in ("experiment", "regulariser"):
        name = choices.get(group)
        if own and name not in (None, "none"):
            raise UserError(f"{group}={name}: is of task={CLASSIFICATION}; leave it out, or task={task}")
    for group in ("dataset", "model", "method", "recipe"):
        folder, _, name = str(choices.get(group)).rpartition("/")
        if folder == own or (not own and folder not in TASKS):  # a folder of one's own
            continue
        if not own:
            raise UserError(f"{group}={folder}/{name}: is of another task; type task={folder}")
        known = nearest(name, _choices(group, task))
        raise UserError(f"{group}={choices[group]}: is not of task={task}; {known}")


def _check_sweep(word: str) -> None:
    """UserError for a range that Hydra would write out for hours."""
    for inside in re.findall(r"range\(([^()]*)\)", word):
        try:
            numbers = [float(part.partition("=")[2] or part) for part in inside.split(",")]
        except ValueError:  # Hydra says what is wrong with it
            continue
        start, stop, step = {1: (0.0, *numbers, 1.0), 2: (*numbers, 1.0)}.get(len(numbers), numbers)[:3]
        if step and abs(stop - start) / abs(step) > MOST_JOBS:
            raise UserError(f"{word}: a sweep of more than {MOST_JOBS:,} jobs; type a shorter range")


def _choices(group: str, task: str = CLASSIFICATION) -> list[str]:
    """The files of a group for a task, as they are typed: digits, gan/ring."""
    before = "" if task == CLASSIFICATION else f"{task}/"
    return [f"{before}{word}" for word in words_of(f"{group}/{before}")]


@contextmanager
def hydra_errors(words: Sequence[str]) -> Iterator[None]:
    """UserError, one line, for what Hydra raises while it composes `words`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(describe(error, words)) from None


def describe(problem: BaseException, overrides: Sequence[str]) -> str:
    """One line for an exception raised while Hydra composed `overrides`."""
    if isinstance(problem, MissingConfigException) and problem.missing_cfg_file:
        group, _, word = problem.missing_cfg_file.rpartition("/")
        if not group:
            return f"--config-name={word}: there is no such file; leave it out"
        if told := missing_plugin(group, word):
            return told
        if not group.startswith("hydra"):  # of a task: dataset/gan/ring
            group, _, word = problem.missing_cfg_file.partition("/")
        task = next((o[5:] for o in overrides if o.startswith("task=")), CLASSIFICATION)
        known = _choices(group, task) or problem.options or []
        return f"{group or 'config'}={word}: unknown; {nearest(word, known)}"
    if isinstance(problem, OverrideParseException):
        return f"{problem.override}: cannot be read; type OPTION=VALUE, with quotes around special signs"
    text = str(problem).strip()
    if several := re.match(r"Ambiguous value for argument '(.+)'", text):
        return f"{several.group(1)}: several values where one is wanted; msda-train -m makes a run of each"
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"full_key: (\S+)", text)
    if key:
        word, known = key.group(1), _options(overrides)
        if word.startswith("hydra.launcher"):
            typed = [o.partition("=")[2] for o in overrides if o.startswith("hydra/launcher=")]
            return unread_option(word, launcher_options((typed or ["basic"])[-1]))
        why = "it has been taken away" if word in known else _instead(word, known)
        return f"{word}: no such option; {why}"
    lines = [line.strip() for line in (text.splitlines() or [type(problem).__name__]) if line.strip(" ^")]
    return " ".join(lines[:2])


def missing_plugin(group: str, name: str) -> str:
    """What to say where the package of a launcher or sweeper is missing; empty for a name that nobody
    knows."""
    extra = PLUGINS.get(group, {}).get(name)
    return f"{group}={name}: its package is missing; type pip install 'msda-train[{extra}]'" if extra else ""


def launcher_options(name: str) -> list[str]:
    """Every option that this launcher of Hydra's has."""
    node = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
    return [f"hydra.launcher.{key}" for key in map(str, node) if key != "_target_"]


def unread_option(word: str, known: Sequence[str]) -> str:
    """What to say of an option that the launcher does not have."""
    return f"{word}: this launcher does not read it; {nearest(word, known) if known else 'leave it out'}"


def _instead(word: str, known: Sequence[str]) -> str:
    """What to type in place of an option that does not exist: one of the same group, if that has any."""
    group = word.partition(".")[0]
    if group not in (*GROUPS, "probes") or "." not in word:
        return nearest(word, known)
    here = word.rpartition(".")[0] if group == "probes" else group  # each probe has options of its own
    options = [name for name in known if not name.endswith("._target_")]
    beside = [name for name in options if name.startswith(f"{here}.")]
    beside = beside or [name for name in options if group == "probes" and name.startswith("probes.")]
    return nearest(word, beside) if beside else f"this {group} has no options; type {group}=NAME for another"


def _options(overrides: Sequence[str]) -> list[str]:
    """Every option that the typed groups have; the groups themselves too."""
    chosen = [o for o in overrides if o.partition("=")[0] in (*GROUPS, "probes") and "," not in o]
    try:
        cfg = compose(*chosen)
    except Exception:  # one of the groups is wrong as well: the plain defaults will do
        cfg = compose()
    return [*GROUPS, *_leaves(OmegaConf.to_container(cfg, resolve=False), "")]


def _leaves(node: Any, path: str) -> list[str]:
    """Dotted names of all values below a nested dict."""
    if not isinstance(node, dict):
        return [path]
    return [name for key, child in node.items() for name in _leaves(child, f"{path}.{key}" if path else key)]
