"""Every word that can be typed composes and builds."""

from functools import cache

import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS
from msda_train.data.images import Images


def _words(group):
    return sorted(p.stem for p in (CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("experiment", _words("experiment"))
def test_every_experiment_builds(experiment):
    cfg = compose(f"experiment={experiment}")
    recipe = build("recipe", cfg.recipe)
    dataset = build("dataset", cfg.dataset)
    assert experiment.split("_")[1] in (dataset.name, dataset.name.split("_")[0], "readme")
    colours = 1 if dataset.name == "slanted_digits" else 3
    channels = colours if dataset.kind is Images else dataset.shape[0]
    assert len(recipe.mean) == (colours if dataset.kind is Images else 0)
    with torch.device("meta"):
        build("model", cfg.model, classes=2 if colours == 1 else 10, channels=channels)


@pytest.mark.parametrize("method", _words("method"))
def test_the_method_stays_free(method):
    """An experiment fixes data, model and recipe; every method composes with it and changes nothing of
    them."""
    chosen = compose("experiment=manifold_svhn_wrn28_10", f"method={method}")
    plain = compose("experiment=manifold_svhn_wrn28_10")
    build("method", chosen.method)
    assert (chosen.dataset, chosen.model, chosen.recipe) == (plain.dataset, plain.model, plain.recipe)


@pytest.mark.parametrize("dataset", _words("dataset"))
def test_recipes_fit_data_sets(dataset):
    cfg = compose(f"dataset={dataset}")
    build("dataset", cfg.dataset)
    for recipe in _words("recipe"):
        cfg.recipe = _recipe(recipe)  # it asks the data set for its facts
        assert build("recipe", cfg.recipe).epochs >= 1


@cache
def _recipe(word):
    return compose(f"recipe={word}").recipe


def test_the_command_line_wins_over_the_experiment():
    cfg = compose("experiment=mixup_cifar10_preactresnet18", "recipe.epochs=3", "model.width=8", "seed=5")
    assert (cfg.recipe.epochs, cfg.model.width, cfg.seed) == (3, 8, 5)
    assert cfg.model.variant == "mixup"


def test_words_other_programs_rely_on():
    cfg = compose("method=manifold_mixup")
    for option in ("alpha", "prob", "depths"):
        assert option in cfg.method
    for option in ("source", "root", "subset", "test_subset"):
        assert option in cfg.dataset
    assert set(_words("method")) >= {"erm", "cutout", "mixup", "manifold_mixup", "cutmix", "hmix", "gmix"}
    assert set(_words("dataset")) >= {"digits", "cifar10", "cifar100", "svhn", "tinyimagenet"}
    assert set(_words("model")) >= {"preactresnet18", "preactresnet34", "wrn28_10"}
    assert set(_words("recipe")) >= {"mixup", "manifold_mixup", "cutmix", "short", "smoke"}
