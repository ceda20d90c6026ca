"""Which published cells have which fingerprint: composed by Hydra, as the training command composes them.

Hydra needs about a tenth of a second per composition and half a second to be imported. So only cells
whose words and settings occur among the rows are composed, each set of words once, and the answers are
remembered until a config changes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pandas import DataFrame, Series

from msda_train.comparison.config_diff import default_choices, experiment_choices
from msda_train.config import defaults
from msda_train.config import fingerprint as fingerprint_module
from msda_train.config.fingerprint import NODES, fingerprint, settled
from msda_train.config.yaml_file import read_scalar
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.core.paths import CONFIGS, DATA
from msda_train.records.published import Cell
from msda_train.records.rows import Row

Words = tuple[str, ...]
CACHE = DATA / "published_fingerprints.json"


def with_fingerprints(cells: DataFrame, lines: DataFrame) -> DataFrame:
    """`cells` (`cells_frame`) with the `fingerprint` of those that may stand beside complete `lines`
    (`lines_frame`); None for the others."""
    runnable = cells["cell"][cells["not_runnable"].isna()]
    typed = DataFrame({"at": runnable.index, "names": list(map(_typed, runnable))}, dtype=object)
    rows = [some[0] for some in lines["rows"][lines["complete"].astype(bool)]]
    made = DataFrame({"names": [tuple(map(row.names.get, NODES)) for row in rows], "row": rows}, dtype=object)
    pairs = typed.merge(made, on="names")
    fits = [may_match(*pair) for pair in zip(runnable[pairs["at"]], pairs["row"], strict=True)]
    near = runnable[pairs["at"][fits].unique()]
    known = fingerprints({cell.overrides for cell in near})
    return cells.assign(
        fingerprint=Series({at: known[cell.overrides] for at, cell in near.items()}, dtype=object)
    )


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


def _typed(cell: Cell) -> tuple[str | None, ...]:
    """The words of the NODES that the cell's overrides choose; what they do not, train.yaml does."""
    chosen = default_choices() | experiment_choices(cell.experiment)[0] | {"method": cell.method}
    return tuple(map(chosen.get, NODES))


def may_match(cell: Cell, row: Row) -> bool:
    """Whether composing the cell is worth its time; whether the row is the cell's, the fingerprint says."""
    _, overlay = experiment_choices(cell.experiment)
    settings = {(node, key): value for node, items in overlay.items() for key, value in items.items()}
    settings |= {path: value for word in cell.set for path, value in [setting(word)]}
    return all(
        node not in NODES  # this and what follows: only Hydra can say
        or ("." in key or isinstance(value, dict) or "${" in str(value))
        or holds(row.config[node], key, value)
        for (node, key), value in settings.items()
    )


def setting(word: str) -> tuple[tuple[str, str], Any]:
    """`method.alpha=0.2` as (("method", "alpha"), 0.2)."""
    path, _, value = word.lstrip("+").partition("=")
    node, _, key = path.partition(".")
    return (node, key), read_scalar(value)


def holds(made: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the node `made` has `value` for an option, written or by default."""
    return bool(settled(made).get(key) == settled({**made, key: value}).get(key))


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
