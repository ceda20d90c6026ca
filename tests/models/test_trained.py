"""A run's network back from its folder; whatever else lies there is refused in one line."""

import json

import pytest
import torch

from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.models.preactresnet import preactresnet
from msda_train.models.trained import load_network
from msda_train.training.train import train

MODEL = {
    "_target_": "msda_train.models.preactresnet.preactresnet",
    "blocks": [1, 1],
    "width": 4,
    "variant": "manifold",
    "stem_stride": 1,
}


@pytest.fixture
def folder(tmp_path):
    """A run folder with the two files that are read, as small as they can be."""
    network = preactresnet([1, 1], 4, "manifold", 1, classes=5, channels=3)
    torch.save({"model": network.state_dict(), "optimizer": {}, "progress": "{}"}, tmp_path / "checkpoint.pt")
    change(tmp_path, lambda row: row.update(config={"model": dict(MODEL)}, data={"classes": 5}))
    return tmp_path


def change(folder, how):
    path = folder / "row.json"
    row = json.loads(path.read_text()) if path.exists() else {}
    how(row)
    path.write_text(json.dumps(row))


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
    assert config == {"model": MODEL}
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    network(x).sum().backward()  # an attack needs the gradient of the images
    assert x.grad.abs().sum() > 0


def of_row(**values):
    return lambda folder: change(folder, lambda row: row.update(values))


def of_model(**values):
    return lambda folder: change(folder, lambda row: row["config"]["model"].update(values))


def of_checkpoint(state):
    return lambda folder: torch.save(state, folder / "checkpoint.pt")


def cut(folder):
    path = folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "row.json").unlink(), "there is no row; the run is not finished"),
        (lambda f: (f / "row.json").write_text('{"config": '), "no whole row"),
        (lambda f: (f / "row.json").write_text("[]"), "no whole row"),
        (of_row(data={"classes": "5"}), "no whole row"),
        (of_row(config={}), "no whole row"),
        (lambda f: (f / "checkpoint.pt").unlink(), "there is no checkpoint"),
        (cut, "checkpoint is damaged"),
        (of_checkpoint({"other": 1}), "checkpoint is damaged"),
        (of_checkpoint({"model": {"x": 1}}), "checkpoint is damaged"),
        (of_checkpoint({"model": preactresnet}), "checkpoint is damaged"),
        (of_row(data={"classes": 7}), "do not fit each other"),
        (of_model(width=8), "do not fit each other"),
        (of_model(variant="x"), "model.variant=x"),
        (of_model(blocks=[[1]]), "model.blocks="),
        (of_model(colour=1), "options of model"),
        (of_model(_target_="os.system"), "'os.system', which is none of our models"),
        (of_model(extra=[{"_target_": "os.getcwd"}]), "'os.getcwd', which is none of our models"),
        (of_model(_target_=["x"]), "none of our models"),
        (of_model(width="${oc.env:HOME}"), "plain values only"),
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
