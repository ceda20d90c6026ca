"""The words that may stand behind `method=`, `model=` and so on, and their files, read without Hydra."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from msda_train.config.yaml_file import read_yaml, without_lines
from msda_train.core.errors import UserError, nearest
from msda_train.core.paths import CONFIGS


def words_of(group: str) -> list[str]:
    """The words of `group`, sorted; for `method`, without those of a GAN."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def options_of(group: str, word: str) -> dict[str, Any]:
    """What the file of a word says, `_target_` too; UserError where there is no such word."""
    if word not in words_of(group):
        raise UserError(f"{group}={str(word)[:60]}: unknown; {nearest(str(word), words_of(group))}")
    found: dict[str, Any] = without_lines(read_yaml(CONFIGS / group / f"{word}.yaml"))
    return found


def check_known(given: Iterable[str], file: Mapping[str, Any], who: str) -> None:
    """UserError for an option that the `file` of `who` does not have."""
    known = file.keys() - {"_target_"}
    for option in given:
        if option not in known:
            raise UserError(f"{option}: {who} has no such option; {nearest(option, known)}")


@cache
def probes_of(preset: str) -> frozenset[str]:
    """The names of the probes in configs/probes/`preset`.yaml, and in the files that it takes in."""
    raw = without_lines(read_yaml(CONFIGS / "probes" / f"{preset}.yaml"))
    others = [word for word in raw.pop("defaults", []) if isinstance(word, str) and word != "_self_"]
    return frozenset(raw).union(*map(probes_of, others))
