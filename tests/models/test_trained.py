"""A run's network back from its folder; whatever else lies there is refused in one line."""

import json

import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.config.fingerprint import fingerprint, former_fingerprint
from msda_train.core.errors import UserError
from msda_train.models.preactresnet import preactresnet
from msda_train.models.trained import load_network
from msda_train.records.rows import write_row
from msda_train.training.train import train

WORDS = ("dataset=cifar10", "model=preactresnet18", "model.blocks=[1,1]", "model.width=4")


@pytest.fixture
def folder(tmp_path, finish):
    """A run folder with the two files that are read, as small as they can be."""
    cfg = compose(*WORDS)
    return finish(build("model", cfg.model, classes=5, channels=3), cfg, classes=5, folder=tmp_path)


def change(folder, how, *, own_checkpoint=True):
    """Signs what was changed, as a forger would; `own_checkpoint` says that it is of the changed config."""
    path = folder / "row.json"
    row = json.loads(path.read_text())
    how(row)
    write_row(path, row)
    weights = folder / "checkpoint.pt"
    if own_checkpoint:
        state = torch.load(weights, weights_only=True)
        progress = json.loads(state["progress"]) | {"fingerprint": fingerprint(row["config"])}
        torch.save(state | {"progress": json.dumps(progress)}, weights)


def test_a_real_run_comes_back(small_run, tmp_path):
    words = [*small_run, "recipe.epochs=1", f"runs={tmp_path}", "checkpoint_seconds=0"]
    names = dict.fromkeys(("dataset", "model", "method", "recipe", "experiment"), "x")
    row = train(compose(*words), names, lambda line: None)
    network, config = load_network(row.parent)
    assert load_network(tmp_path)[1] == config  # the only run in a folder of runs
    saved = torch.load(row.parent / "checkpoint.pt", weights_only=True)["model"]
    assert network.state_dict().keys() == saved.keys()
    assert all(torch.equal(v, saved[k]) for k, v in network.state_dict().items())
    assert config["recipe"]["batch_size"] == 25
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_torch_s_generator_is_left_alone(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    network, config = load_network(str(folder))
    assert torch.equal(torch.rand(3), expected)
    assert config["model"]["blocks"] == [1, 1]
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    network(x).sum().backward()  # an attack needs the gradient of the images
    assert x.grad.abs().sum() > 0


def test_a_row_of_before_its_modules_moved_opens(folder):
    before = {
        "dataset": "msda_train.datasets.Cifar10",
        "model": "msda_train.preactresnet.preactresnet",
        "method": "msda_train.methods.old_place.Erm",
        "recipe": "msda_train.runner.recipe.Recipe",
    }
    new, _ = load_network(folder)

    def moved(row):
        for node, target in before.items():
            row["config"][node]["_target_"] = target

    change(folder, moved, own_checkpoint=False)
    old, config = load_network(folder)
    assert config["recipe"]["_target_"] == "msda_train.runner.recipe.Recipe"
    assert all(torch.equal(v, old.state_dict()[k]) for k, v in new.state_dict().items())


def test_a_checkpoint_under_its_former_fingerprint_opens(folder):
    cutmix = {"_target_": "msda_train.methods.cutmix.CutMix", "prob": 0.0}
    change(folder, lambda row: row["config"].update(method=cutmix))
    config = json.loads((folder / "row.json").read_text())["config"]
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    progress = json.loads(state["progress"]) | {"fingerprint": former_fingerprint(config)}
    assert progress["fingerprint"] != fingerprint(config)
    torch.save(state | {"progress": json.dumps(progress)}, folder / "checkpoint.pt")
    load_network(folder)


def of_row(part, **values):
    return lambda folder: change(folder, lambda row: row[part].update(values), own_checkpoint=False)


def of_model(**values):
    return lambda folder: change(folder, lambda row: row["config"]["model"].update(values))


def of_checkpoint(state):
    return lambda folder: torch.save(state, folder / "checkpoint.pt")


def unsigned(folder):
    path = folder / "row.json"
    path.write_text(path.read_text().replace('"classes": 5', '"classes": 6'))


def cut(folder):
    path = folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "row.json").unlink(), "there is no row; the run is not finished"),
        (lambda f: (f / "row.json").write_text('{"config": '), "not JSON or cut off"),
        (lambda f: (f / "row.json").write_text("[]"), "not a row of msda-train"),
        (lambda f: (f / "row.json").write_text('{"config": {"model": {}}, "data": {}}'), "not a row"),
        (unsigned, "was changed after it was written"),
        (of_row("data", classes="5"), "'data.classes' is a str"),
        (of_row("data", classes=0), "'data.classes' is 0"),
        (of_row("metrics", **{"error/last": 2.0}), "errors are fractions"),
        (of_row("config", recipe=None), "no node 'recipe'"),
        (lambda f: (f / "checkpoint.pt").unlink(), "there is no checkpoint"),
        (cut, "checkpoint is damaged"),
        (of_checkpoint({"other": 1}), "checkpoint is damaged"),
        (of_checkpoint({"model": {"x": 1}}), "checkpoint is damaged"),
        (of_checkpoint({"model": preactresnet}), "checkpoint is damaged"),
        (of_row("data", classes=7), "do not fit each other"),
        (of_row("config", dataset={}), "checkpoint of another configuration"),
        (of_model(**{"_partial_": True}), "_partial_: a row may not say this"),
        (of_model(width=8), "do not fit each other"),
        (of_model(variant="x"), "model.variant=x"),
        (of_model(blocks=[[1]]), "model.blocks="),
        (of_model(colour=1), "options of model"),
        (of_model(_target_="os.system"), "'os.system', which is no part of msda-train; give the folder"),
        (of_model(extra=[{"_target_": "os.getcwd"}]), "_target_: a row may not say this"),
        (of_model(_target_=["x"]), "no part of msda-train"),
        (of_model(width="${oc.env:HOME}"), "not a plain word"),
    ],
)
def test_bad_folders_are_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_network(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder))


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"s0: no such folder"):
        load_network(tmp_path / "s0")
