"""A method that changes in the course of training."""

import json

import pytest

from msda_train.methods.cutmix import CutMix
from msda_train.training.gallery import NAME

LINEAR = ["method=cutmix", "method.prob=1", "method.prob_schedule=linear"]


def _seen(monkeypatch):
    """The probability of every plan that is made from now on."""
    seen, plan = [], CutMix.plan

    def seeing(self, *batch):
        seen.append(self.prob)
        return plan(self, *batch)

    monkeypatch.setattr(CutMix, "plan", seeing)
    return seen


def test_each_batch_of_a_run_has_its_own_share(go, monkeypatch):
    """Sixty images in batches of 25 are three a pass (the last of ten); four passes, one of them ERM's."""
    seen = _seen(monkeypatch)
    go(*LINEAR, "recipe.epochs=4", "+recipe.erm_epochs=1")
    assert seen[:9] == pytest.approx([t / 12 for t in range(3, 12)], rel=1e-12)
    assert seen[9] == 9 / 12  # the example that is kept: the first of the last pass that is mixed


def test_its_pictures_are_of_the_end(go):
    kept = json.loads((go(*LINEAR, "recipe.epochs=4").parent / NAME).read_text())
    assert kept["mixed"]
    assert kept["epoch"] == 4
