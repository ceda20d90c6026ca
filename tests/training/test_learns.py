"""Every method learns: far better than chance on real digits after a few epochs."""

import json

import pytest

from msda_train.core.paths import CONFIGS

WORDS = {  # for images of eight pixels, and to be quick
    "puzzlemix": ["method.blocks=[2,4]"],
    "comixup": ["method.blocks=2", "method.passes=1"],
    "pgd_training": ["method.steps=2"],
    "automix": ["model.blocks=[1,1,1]", "method.momentum=0.9"],
    "samix": ["model.blocks=[1,1,1]", "method.momentum=0.9"],
    "adautomix": ["model.blocks=[1,1,1]", "method.momentum=0.9"],
}


# They need a transformer, or a teacher with one, or pictures that are drawn: tests/methods/ trains them.
ELSEWHERE = ("factor_mixup", "mixpro", "smmix", "tokenmix", "transmix")
METHODS = sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml") if p.stem not in ELSEWHERE)


@pytest.mark.parametrize("method", METHODS)
def test_learns(go, method):
    own = list(WORDS.get(method, []))
    if method == "attentive_cutmix":
        own = [f"method.teacher={go('recipe.epochs=1').parent}", "method.k=2"]
    words = ["dataset.subset=800", "dataset.test_subset=null", "model.width=8", "recipe.epochs=8"]
    row = json.loads(go(f"method={method}", *own, *words, "recipe.batch_size=50").read_text())
    assert row["metrics"]["error/best"] < 0.6  # chance is 0.9
    assert row["history"][-1]["train_loss"] < row["history"][0]["train_loss"]
