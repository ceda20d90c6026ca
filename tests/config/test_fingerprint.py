"""What makes two runs the same experiment."""

import copy
import json
from pathlib import Path

import pytest

from msda_train.comparison.match import compose_configs
from msda_train.config.defaults import defaults
from msda_train.config.fingerprint import (
    NODES,
    UNCOUNTED,
    canonical,
    column_fingerprint,
    fingerprint,
    former_fingerprint,
)
from msda_train.core.errors import UserError

CONFIG = {
    "dataset": {
        "_target_": "msda_train.data.cifar.Cifar10",
        "name": "cifar10",
        "source": "download",
        "subset": None,
    },
    "model": {"_target_": "msda_train.models.preactresnet.preactresnet", "blocks": [2, 2, 2, 2], "width": 64},
    "method": {"_target_": "msda_train.methods.mixup.Mixup", "alpha": 1.0, "prob": 1.0},
    "recipe": {
        "_target_": "msda_train.training.recipe.Recipe",
        "epochs": 200,
        "drops": [0.5, 0.75],
        "lr": 0.1,
        "nesterov": False,
        "label_smoothing": 0.0,
    },
}


def changed(node, **values):
    config = copy.deepcopy(CONFIG)
    config[node].update(values)
    return config


def test_sixteen_hex_digits_that_stay_what_they_are():
    # Stored rows are matched by this very rule: a change of it must be meant.
    assert fingerprint(CONFIG) == "ee9ee5b696f4ee6b"
    assert column_fingerprint(CONFIG) == "3f5c0e49247232e1"


@pytest.mark.parametrize(
    "config",
    [
        changed("method", alpha=1),
        changed("recipe", epochs=200.0, drops=(0.5, 0.75)),
        {node: dict(reversed(CONFIG[node].items())) for node in reversed(CONFIG)},
        changed("model", _target_="msda_train.models.elsewhere.preactresnet"),
        changed("dataset", source="npz", root="/data", cache="/tmp", mean=[0.5], std=[0.1], crop_padding=4),
        changed("dataset", flip=True, cutout_length=16),
        CONFIG | {"seed": 7, "runs": "elsewhere", "device": "cuda"},
    ],
    ids=["int", "list", "order", "moved", "source", "facts", "others"],
)
def test_what_changes_no_mathematics_changes_no_fingerprint(config):
    assert fingerprint(config) == fingerprint(CONFIG)


@pytest.mark.parametrize("off", [None, False, 0, 0.0, "", [], {}])
def test_what_is_off_and_has_to_be_said_to_be_on_counts_as_absent(off):
    assert fingerprint(changed("recipe", nesterov=off)) == fingerprint(CONFIG)


def typed(*words):
    (config,) = compose_configs([words]).values()
    return config


def test_an_option_that_is_not_stated_has_its_class_default():
    stated = typed("method=cutmix")
    assert fingerprint(typed("method=cutmix", "~method.prob")) == fingerprint(stated)  # 0.5
    assert fingerprint(typed("method=cutmix", "method.prob=0")) != fingerprint(stated)
    assert fingerprint(typed("method=cutmix", "~method.alpha")) == fingerprint(stated)
    assert fingerprint(typed("method=cutmix", "~method.label")) == fingerprint(stated)


def test_what_came_to_cutmix_later_counts_where_it_is_typed():
    plain = typed("method=cutmix")
    assert fingerprint(typed("method=cutmix", "~method.prob_schedule")) == fingerprint(plain)
    assert fingerprint(typed("method=cutmix", "~method.depths")) == fingerprint(plain)
    assert fingerprint(typed("method=cutmix", "method.prob_schedule=linear")) != fingerprint(plain)
    assert fingerprint(typed("method=cutmix", "method.depths=[0,1]")) != fingerprint(plain)
    manifold = [typed("method=manifold_mixup", f"method.depths={depths}") for depths in ("[0]", "[]")]
    assert fingerprint(manifold[0]) != fingerprint(manifold[1])  # it had the option all along


def test_epochs_that_mix_nothing_count_only_where_there_are_some():
    assert fingerprint(changed("recipe", erm_epochs=0)) == fingerprint(CONFIG)
    assert fingerprint(changed("recipe", erm_epochs=5)) != fingerprint(CONFIG)


def test_of_a_foreign_class_nothing_is_left_out():
    """Its default is not ours to know: 0 may be on, and absent may be 0.5."""
    marks = {
        fingerprint(CONFIG | {"method": {"_target_": "mine.HalfMix", **options}})
        for options in ({}, {"weight": 0}, {"weight": None}, {"weight": False}, {"weight": 0.5})
    }
    assert len(marks) == 5


def test_a_falsy_value_other_than_the_default_counts():
    every = [(node, key, off) for node, key in options() for off in (0, None, False)]
    changes = [change for change in every if differs(*change)]
    assert len(changes) > 50
    for node, key, off in changes:
        config = typed("method=attentive_cutmix", "recipe=puzzlemix")
        given = fingerprint(config)
        config[node] = {**config[node], key: off}
        assert fingerprint(config) != given, (node, key, off)


def options():
    config = typed("method=attentive_cutmix", "recipe=puzzlemix")
    for node in NODES:
        for key in defaults(config[node]["_target_"]):
            if key not in UNCOUNTED.get(node, ()):
                yield node, key


def differs(node, key, off):
    config = typed("method=attentive_cutmix", "recipe=puzzlemix")
    value = config[node].get(key, defaults(config[node]["_target_"])[key])
    return not (canonical(value) == off and type(canonical(value)) is type(off))


KEPT = sorted((Path(__file__).parents[2] / "results" / "rows").rglob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_every_kept_row_is_found(path):
    """Under the name of its file; and what it was called in its time is still known."""
    row = json.loads(path.read_text())
    assert fingerprint(row["config"]) == path.stem.partition("-")[0]
    assert row["fingerprint"] in (fingerprint(row["config"]), former_fingerprint(row["config"]))


@pytest.mark.parametrize(
    "config",
    [
        changed("method", alpha=0.2),
        changed("method", _target_="msda_train.methods.cutmix.CutMix"),
        changed("method", _target_="mine.Mixup"),
        changed("model", blocks=[2, 2, 2]),
        changed("model", blocks=[2, 2, 2, 0]),
        changed("recipe", nesterov=True),
        changed("recipe", nesterov="true"),
        changed("dataset", subset=1000),
        changed("dataset", subset_seed=1),
        changed("recipe", crop_padding=4),
        changed("recipe", flip=True),
        changed("method", length=16),
    ],
)
def test_what_changes_the_mathematics_changes_the_fingerprint(config):
    assert fingerprint(config) != fingerprint(CONFIG)


def test_the_column_is_all_but_the_method():
    assert column_fingerprint(changed("method", alpha=0.2)) == column_fingerprint(CONFIG)
    assert column_fingerprint(changed("recipe", epochs=100)) != column_fingerprint(CONFIG)


def test_a_foreign_target_counts_whole():
    one, other = (changed("method", _target_=name) for name in ("mine.Mixup", "yours.Mixup"))
    assert fingerprint(one) != fingerprint(other)


def test_shipped_methods_differ_and_typing_a_default_changes_nothing():
    words = ("experiment=mixup_cifar10_preactresnet18", "method=mixup")
    wanted = [words, (words[0], "method=cutout"), (*words, "method.alpha=1")]
    plain, other, typed = map(fingerprint, compose_configs(wanted).values())
    assert typed == plain != other


@pytest.mark.parametrize("config", [{}, CONFIG | {"model": None}, changed("recipe", lr=float("nan"))])
def test_what_cannot_be_fingerprinted_says_so(config):
    with pytest.raises(UserError):
        fingerprint(config)
