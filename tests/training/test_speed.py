"""The speed program: one line of JSON per group of words."""

import json

import pytest

from msda_train.methods.erm import Erm
from msda_train.training import speed


@pytest.fixture
def ask(small, capsys, monkeypatch):
    monkeypatch.setattr(speed, "ENOUGH_SECONDS", 0.0)

    def run(*groups, facts=False):
        words = ["--facts"] if facts else []
        for number, group in enumerate(groups):
            words += [*(["--"] if number else []), *small(*group)]
        assert speed.main(words) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_facts(ask):
    (facts,) = ask(["device=cpu"], facts=True)
    assert (facts["device"], facts["threads"], facts["train_images"], facts["test_images"]) == (
        "cpu",
        1,
        60,
        30,
    )
    assert "step_seconds" not in facts


def test_steps_are_measured(ask):
    one, two = ask(["method=erm"], ["method=cutmix", "recipe.batch_size=10"])
    assert one["steps"] == two["steps"] == speed.LEAST_STEPS
    assert 0 < one["step_seconds"] < 60


def test_the_method_is_measured_though_the_first_epochs_mix_nothing(ask, monkeypatch):
    monkeypatch.setattr(Erm, "plan", lambda *args: pytest.fail("measured without mixing"))
    (told,) = ask(["method=mixup", "+recipe.erm_epochs=1"])
    assert told["steps"] == speed.LEAST_STEPS


def test_a_rough_answer_comes_first(ask):
    """For batches that are worth it: on a busy machine it may be the only one."""
    rough, whole = ask(["recipe.batch_size=48"])
    assert (rough["rough"], rough["images"], whole["steps"]) == (True, 3, speed.LEAST_STEPS)
    assert 0 < rough["step_seconds"] < 600


def test_nothing_is_downloaded_to_know_the_size(ask):
    (facts,) = ask(["dataset=cifar10", "dataset.subset=null", "dataset.test_subset=null"], facts=True)
    assert (facts["train_images"], facts["test_images"]) == (50_000, 10_000)
    (fewer,) = ask(
        ["dataset=cifar10", "dataset.cap_per_class=30", "dataset.subset=null", "dataset.test_subset=null"],
        facts=True,
    )
    assert fewer["train_images"] == 300


def test_mistakes_are_answers_too(ask):
    missing, wrong, fine = ask(
        ["dataset=own", "dataset.root=nowhere"], ["model.depht=3"], ["recipe.batch_size=8"]
    )
    assert missing["error"].startswith("dataset own is not prepared; type: msda-data prepare own")
    assert "model.depht" in wrong["error"]
    assert fine["steps"] > 0


def test_a_slow_step_is_not_measured_for_ever(ask, monkeypatch):
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(clock)))
    (answer,) = ask(["recipe.batch_size=10"])
    assert (answer["step_seconds"], answer["steps"]) == (30.0, 3)
