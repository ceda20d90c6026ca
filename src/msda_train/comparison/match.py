"""Which published cells have which fingerprint: composed by Hydra, as the training command composes them.

Hydra needs about a tenth of a second per composition and half a second to be imported. So only cells
whose words and settings occur among the rows are composed, each set of words once, and the answers are
remembered until a config changes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msda_train.comparison.config_diff import experiment_choices
from msda_train.config import defaults
from msda_train.config import fingerprint as fingerprint_module
from msda_train.config.fingerprint import NODES, fingerprint, settled
from msda_train.config.yaml_file import read_scalar
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.core.paths import CONFIGS, DATA
from msda_train.records.published import Cell, Paper
from msda_train.records.rows import Row

Words = tuple[str, ...]
Names = tuple[str | None, ...]
CACHE = DATA / "published_fingerprints.json"


def cells_by_fingerprint(papers: Iterable[Paper], rows: Iterable[Row]) -> dict[str, list[Cell]]:
    """The runnable cells that may stand beside `rows`, under their fingerprints."""
    configs = {row.fingerprint: row for row in rows if row.data["complete"]}  # seeds share one
    by_names: dict[Names, list[Row]] = {}
    for row in configs.values():
        by_names.setdefault(_names(row.names), []).append(row)
    runnable = [cell for paper in papers for cell in paper.cells if cell.not_runnable is None]
    cells = [cell for cell in runnable if _may_match(cell, by_names)]
    known = fingerprints({cell.overrides for cell in cells})
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(known[cell.overrides], []).append(cell)
    return found


def fingerprints(wanted: set[Words]) -> dict[Words, str]:
    """What `msda-train WORDS` would be stored under, for all `wanted` words; composed or remembered."""
    if not wanted:
        return {}
    key = _configs_key()
    cached = _remembered(key)
    missing = sorted(words for words in wanted if " ".join(words) not in cached)
    if missing:
        configs = compose_configs(missing)
        cached |= {" ".join(words): fingerprint(config) for words, config in configs.items()}
        _remember(key, cached)
    return {words: cached[" ".join(words)] for words in wanted}


def compose_configs(wanted: Iterable[Words]) -> dict[Words, Mapping[str, Any]]:
    """The resolved config nodes that `msda-train WORDS` would train, for all `wanted` words."""
    from hydra.errors import HydraException  # half a second, and most calls need none of it
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from msda_train.config.compose import composing

    configs: dict[Words, Mapping[str, Any]] = {}
    with composing() as composed:
        for words in wanted:
            try:
                config: Any = OmegaConf.to_container(composed(words), resolve=True)
            except (HydraException, OmegaConfBaseException) as error:
                reason = str(error).splitlines()[0]
                raise UserError(f"a published cell cannot be composed: {' '.join(words)}: {reason}") from None
            configs[words] = {node: config[node] for node in NODES}
    return configs


def _names(names: Mapping[str, str | None]) -> Names:
    return tuple(names.get(node) for node in NODES)


def _may_match(cell: Cell, by_names: Mapping[Names, Sequence[Row]]) -> bool:
    """Whether composing the cell is worth its time; whether a row is the cell's, the fingerprint says."""
    chosen, overlay = experiment_choices(cell.experiment)
    names = chosen | {"method": cell.method}
    wanted = {node: name for node, name in names.items() if node in NODES}
    rows = by_names.get(_names(wanted), ()) if len(wanted) == len(NODES) else _of(wanted, by_names)
    if not rows:
        return False
    settings = {(node, key): value for node, items in overlay.items() for key, value in items.items()}
    for word in cell.set:
        path, _, value = word.partition("=")
        node, _, key = path.partition(".")
        settings[node, key] = read_scalar(value)
    return any(all(_has(row.config, *place, value) for place, value in settings.items()) for row in rows)


def _of(wanted: Mapping[str, str | None], by_names: Mapping[Names, Sequence[Row]]) -> list[Row]:
    places = [(NODES.index(node), name) for node, name in wanted.items()]
    found = [rows for names, rows in by_names.items() if all(names[k] == name for k, name in places)]
    return [row for rows in found for row in rows]


def _has(config: Mapping[str, Any], node: str, key: str, value: Any) -> bool:
    if node not in NODES or "." in key or isinstance(value, dict) or "${" in str(value):
        return True  # only Hydra can say
    return bool(settled(config[node]).get(key) == settled({**config[node], key: value}).get(key))


def _configs_key() -> str:
    """Changes when any config or default does, or the rule that makes fingerprints."""
    digest = hashlib.sha256(Path(fingerprint_module.__file__).read_bytes())
    for path in [*sorted(CONFIGS.rglob("*.yaml")), *defaults.sources()]:
        digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _remembered(key: str) -> dict[str, str]:
    try:
        stored = json.loads(CACHE.read_text(encoding="utf-8"))
        return dict(stored["fingerprints"]) if stored["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(key: str, fingerprints: Mapping[str, str]) -> None:
    """A home that cannot be written to costs half a second each time, nothing else."""
    try:
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        replace_file(CACHE, json.dumps({"key": key, "fingerprints": fingerprints}, indent=1).encode())
    except OSError:
        pass
