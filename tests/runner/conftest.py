"""Small real runs: handwritten digits and a network of a few thousand weights."""

import pytest

from msda_train.compose import compose
from msda_train.runner.train import train

SMALL = [
    "model.width=4",
    "model.blocks=[1,1]",
    "dataset.subset=60",
    "dataset.test_subset=30",
    "recipe=smoke",
    "recipe.batch_size=25",
    "threads=1",
    "checkpoint_seconds=0",
    "method.depths=[0,1,2]",
]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One decoded-array cache for all tests, not the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small(cache, tmp_path):
    """Words of a run that takes a second; its run folders lie under tmp_path."""

    def words(*overrides):
        method = next((o for o in overrides if o.startswith("method=")), "method=erm")
        base = [w for w in SMALL if method == "method=manifold_mixup" or not w.startswith("method.depths")]
        if any(o.startswith("model=") for o in overrides):
            base = [w for w in base if not w.startswith("model.")]
        return [*base, f"dataset.cache={cache}", f"runs={tmp_path / 'runs'}", *overrides]

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
