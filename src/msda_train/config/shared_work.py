"""Which runs do the same work: one network, trained in one way on images of one kind. What was made ready for
one of them serves the next."""

import json
from collections.abc import Mapping
from typing import Any

from msda_train.config.fingerprint import canonical

# What of a recipe never reaches network, loss or optimizer; the learning rate is set anew in every step.
PASSING = {
    *("epochs", "lr", "schedule", "drops", "drop_factor", "warmup_epochs"),
    *("min_lr", "padding", "crop_scale", "crop_ratio"),
    *("crop_padding", "flip", "mean", "std", "cutout"),
}


def lasting(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe does."""
    return {key: value for key, value in recipe.items() if key not in PASSING}


def work_key(config: Mapping[str, Mapping[str, Any]]) -> str:
    """Equal for runs whose configs ask for the same work, by what they say alone: a data set of the same name
    has images of the same kind."""
    parts = [config["model"], lasting(config["recipe"]), config["dataset"].get("name")]
    return json.dumps([canonical(part) for part in parts], sort_keys=True)
