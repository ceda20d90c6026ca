"""Small real runs: handwritten digits and a network of a few thousand weights."""

import pytest

from msda_train.compose import compose
from msda_train.runner.train import train


@pytest.fixture
def small(small_run, tmp_path):
    """Words of a run that takes a second; its run folders lie under tmp_path."""

    def words(*overrides):
        model_of_its_own = any(o.startswith("model=") for o in overrides)
        base = [w for w in small_run if not (model_of_its_own and w.startswith("model."))]
        return [*base, "checkpoint_seconds=0", f"runs={tmp_path / 'runs'}", *overrides]

    return words


@pytest.fixture
def go(small):
    """Trains what the words say, in this process; returns the row's path."""

    def run(*overrides):
        cfg = compose(*small(*overrides))
        names = {
            "dataset": "digits",
            "model": "preactresnet18",
            "method": "m",
            "recipe": "smoke",
            "experiment": None,
        }
        return train(cfg, names, lambda line: None)

    return run
