"""Every method learns: far better than chance on real digits after a few epochs."""

import json

import pytest

from msda_train.paths import CONFIGS


@pytest.mark.parametrize("method", sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml")))
def test_learns(go, method):
    words = ["dataset.subset=800", "dataset.test_subset=null", "model.width=8", "recipe.epochs=8"]
    row = json.loads(go(f"method={method}", *words, "recipe.batch_size=50").read_text())
    assert row["metrics"]["error/best"] < 0.6  # chance is 0.9
    assert row["history"][-1]["train_loss"] < row["history"][0]["train_loss"]
