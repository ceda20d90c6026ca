"""`dataset.mean=auto` in a plan: a run is known by its numbers, so the plan has to know them, too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msda_train.comparison.match import compose_configs
from msda_train.core.errors import UserError
from msda_train.data.options import AUTO

if TYPE_CHECKING:
    from msda_train.data.dataset import Dataset

Words = tuple[str, ...]
Configs = Mapping[Words, Mapping[str, Any]]


def in_numbers(configs: Configs) -> tuple[dict[Words, Words], Configs]:
    """For all words of `configs` those that say numbers in place of auto, and the configs of these. UserError
    where the images that have to be measured are not prepared."""
    found: dict[Words, Words] = {}
    for words, config in configs.items():
        keys = [key for key in ("mean", "std") if config["dataset"].get(key) == AUTO]
        typed = tuple(word for word in words if word not in [f"dataset.{key}={AUTO}" for key in keys])
        numbers = _numbers(config["dataset"]) if keys else {}
        found[words] = (*typed, *(f"dataset.{key}=[{','.join(map(str, numbers[key]))}]" for key in keys))
    changed = any(words != other for words, other in found.items())
    return found, compose_configs(dict.fromkeys(found.values())) if changed else configs


def _numbers(node: Mapping[str, Any]) -> dict[str, list[float]]:
    from omegaconf import DictConfig

    from msda_train.config.build import build
    from msda_train.training.measured import numbers

    dataset: Dataset = build("dataset", DictConfig(dict(node)))
    if not dataset.prepared():
        raise UserError(
            f"dataset.mean={AUTO}: {dataset.name} is not prepared, so nothing can be measured; "
            f"type: {dataset.command('prepare')}"
        )
    return numbers(dataset)
