"""What a stored config may build: shipped classes, wherever they were once, and nothing else."""

import json
from pathlib import Path

import pytest

from msda_train.config.build import build
from msda_train.config.untrusted import buildable
from msda_train.core.errors import UserError
from msda_train.training.gan import GanRun

ROOT = Path(__file__).resolve().parents[2]
KEPT = [*ROOT.glob("results/rows/**/*.json"), *ROOT.glob("tests/stored/**/rows/**/*.json")]
OLD = {
    "dataset": ("msda_train.data.sources.Cifar10", "msda_train.data.cifar.Cifar10"),
    "model": ("msda_train.preactresnet.preactresnet", "msda_train.models.preactresnet.preactresnet"),
    "method": ("msda_train.methods.puzzlemix.PuzzleMix", "msda_train.methods.puzzlemix.method.PuzzleMix"),
    "recipe": ("msda_train.runner.recipe.Recipe", "msda_train.training.recipe.Recipe"),
}


@pytest.mark.parametrize("group", OLD)
def test_a_class_is_found_where_it_lies_today(group):
    before, today = OLD[group]
    for name in (before, today):
        assert buildable(group, {"_target_": name, "option": [1, 2]}) == {"_target_": today, "option": [1, 2]}


def test_every_kept_row_may_be_built():
    """Written before the modules moved."""
    assert len(KEPT) > 50
    for path in KEPT:
        row = json.loads(path.read_text())
        needed = GanRun.needs if row.get("task") == "gan" else {}
        for group in OLD:
            node = buildable(group, row["config"][group])
            if group == "recipe":
                build(group, node, needed=needed.get(group))


def test_a_regulariser_has_a_group_of_its_own():
    node = {"_target_": "msda_train.models.preactresnet.preactresnet"}
    inside = {"_target_": "msda_train.layers.ShakeDrop", "rate": 0.5}
    found = buildable("model", {**node, "regulariser": inside})
    assert found.regulariser == {"_target_": "msda_train.models.shakedrop.ShakeDrop", "rate": 0.5}
    hostile = {"_target_": "msda_train.models.preactresnet.preactresnet"}
    with pytest.raises(UserError, match=r"^model\.regulariser is .*no part of msda-train"):
        buildable("model", {**node, "regulariser": hostile})


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "preactresnet",
        "their.preactresnet",
        "msda_train.models.trained.load_network",  # ours, and no model
        "msda_train.models.trained.read_checkpoint",
        "msda_train.models.staged.nn.Linear",
        "msda_train.data.download.os.system",
        "msda_train.models.preactresnet.Block",  # of a module that holds a model
        "msda_train.models.features.import_module",
        "msda_train.methods.mixup.Mixup",  # shipped, for another node
        "msda_train.",
        "",
        None,
        ["msda_train.models.preactresnet.preactresnet"],
        {"_target_": "msda_train.models.preactresnet.preactresnet"},
    ],
)
def test_hostile_names_are_refused(target):
    with pytest.raises(UserError, match=r"^model is .*no part of msda-train$") as error:
        buildable("model", {"_target_": target})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "option",
    [
        {"blocks": {"_target_": "os.getcwd"}},
        {"blocks": [[{"_target_": "os.getcwd"}]]},
        {"blocks": {"deep": {"_call_": 1}}},
        {"_partial_": True},
        {"_args_": [1]},
        {"width": "${oc.env:HOME}"},
        {"width": ["a${b"]},
        {"dataset": {"_target_": "msda_train.data.cifar.Cifar10"}},
    ],
)
def test_options_are_plain_values(option):
    node = {"_target_": "msda_train.models.preactresnet.preactresnet", **option}
    with pytest.raises(UserError, match=r"a row may not say this|is not a plain word"):
        buildable("model", node)


def test_a_name_of_ours_inside_another_package_is_not_reached():
    """What is built is the shipped class, never what the name leads to."""
    node = buildable("model", {"_target_": "msda_train.cli.train.os.preactresnet"})
    assert node["_target_"] == "msda_train.models.preactresnet.preactresnet"


def test_trust_builds_what_is_named():
    node = {"_target_": "theirs.net", "deep": {"_target_": "theirs.part"}}
    assert buildable("model", node, trust=True) == node
    with pytest.raises(UserError, match=r"^model: "):
        buildable("model", {"width": "${"}, trust=True)
