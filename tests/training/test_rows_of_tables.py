"""Runs on examples that are no pictures: what mixes them, how they are scaled, with which optimizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from msda_train.cli.train import main
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.data.array_loader import ArrayLoader, find_scaling
from msda_train.training.device import Compute
from msda_train.training.optimizer import new_update

METHODS = sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml"))
ANY_SHAPE = {"erm", "gaussian_noise", "mixup", "manifold_mixup", "kernel_mixup", "rankmixup", "regmixup"}
ASK_FACTORS = {"factor_mixup"}  # of pictures that are drawn
ASK_NETWORK = {"recursivemix", "smmix", "sumix", "tokenmix", "transmix", "mixpro"}  # before any image is seen


@pytest.fixture
def words(tmp_path, cache):
    """A run on 60 rows of a table that two numbers decide."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    lines = [f"{a},{b},{c},{'yes' if a + b > 0 else 'no'}" for a, b, c in x]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,class", *lines]))
    table = ["dataset=table", f"dataset.root={tmp_path / 't.csv'}", "dataset.target=class"]
    run = ["model=mlp", "recipe=mixup_uci", "recipe.epochs=4", "threads=1", "precision=fp32"]
    return [*table, f"dataset.cache={cache}", *run, f"runs={tmp_path / 'runs'}"]


def _row(tmp_path):
    (path,) = (tmp_path / "runs").glob("*/s0/row.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("method", sorted(ANY_SHAPE))
def test_a_table_is_learned(words, tmp_path, method):
    assert main([*words, f"method={method}", "recipe.epochs=20", "recipe.lr=0.01"]) == 0
    row = _row(tmp_path)
    assert row["metrics"]["error/last"] < 0.2  # a coin would err in half of the cases
    assert row["data"]["train_images"] == row["data"]["test_images"] == 60
    assert not (tmp_path / "runs" / "gallery.json").exists()


@pytest.mark.parametrize("method", sorted(set(METHODS) - ANY_SHAPE - ASK_NETWORK - ASK_FACTORS))
def test_methods_that_need_pictures_say_so(words, tmp_path, method, capsys):
    more = ["method.prob=1"] if method != "cutout" else ["method.length=2"]
    assert main([*words, f"method={method}", *more]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == "msda-train: method: this one needs pictures, and the data set has none; type method=mixup"


@pytest.mark.parametrize("method", sorted(ASK_NETWORK | ASK_FACTORS))
def test_methods_that_need_another_network_say_so(words, tmp_path, method, capsys):
    assert main([*words, f"method={method}"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list((tmp_path / "runs").rglob("row.json"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model=preactresnet18"], "model: does not fit examples of 3 numbers"),
        (["recipe.flip=true"], "recipe.flip=true: is for pictures, and these are rows"),
        (["recipe.cutout=2"], "recipe.cutout=2: is for pictures, and these are rows"),
        (["recipe.scaling=minmx"], "recipe.scaling=minmx: unknown; did you mean 'minmax'"),
        (["recipe.optimizer=adma"], "recipe.optimizer=adma: unknown; did you mean 'adam'"),
        (["recipe.momentum=0.9"], "recipe.optimizer=adam: momentum is of sgd"),
        (["recipe.betas=[0.9,1]"], "recipe.betas=[0.9, 1]: 0 or more, below 1"),
        (["recipe.betas=[0.9]"], "recipe.betas=[0.9]: two numbers"),
        (["recipe.optimizer=sgd", "recipe.betas=[0.8,0.99]"], "betas and eps are of adam"),
        (["model.hidden=128"], "model.hidden=128: must be"),
        (["recipe.batch_size=61"], "there are 60 training examples"),
        (["dataset.target=clas"], "dataset.target=clas: no column of"),
    ],
)
def test_bad_input_is_one_line(words, more, message, capsys):
    assert main([*words, *more]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_pictures_have_no_scaling(small_run, tmp_path, capsys):
    assert main([*small_run, "recipe.scaling=minmax", f"runs={tmp_path}"]) == 2
    assert "recipe.scaling=minmax: pictures have recipe.mean" in capsys.readouterr().err


def test_mixing_rows_by_hand():
    h = torch.tensor([[1.0, 2.0], [3.0, 6.0], [0.0, 8.0]])
    lam = torch.tensor([0.75, 0.5, 1.0])
    mix = Mix(torch.tensor([1, 2, 0]), lam, lam.view(-1, 1, 1, 1))
    assert mix.pixels(h).tolist() == [[1.5, 3.0], [1.5, 7.0], [0.0, 8.0]]
    deep = torch.arange(24.0).view(2, 3, 4)  # any other shape
    one = Mix(torch.tensor([1, 0]), torch.tensor([0.25]), torch.full((1, 1, 1, 1), 0.25))
    torch.testing.assert_close(one.apply(deep), 0.25 * deep + 0.75 * deep.flip(0))


def test_scaling_is_that_of_the_training_rows():
    x = np.array([[1, 5, 2], [3, 5, 4], [8, 5, 9]], dtype=np.float32)
    centre, spread = find_scaling(x, "standardise")
    np.testing.assert_allclose(centre, [4, 5, 5])
    np.testing.assert_allclose(spread, [np.sqrt(26 / 3), 1, np.sqrt(26 / 3)])  # what does not vary stays
    low, width = find_scaling(x, "minmax")
    assert (low.tolist(), width.tolist()) == ([1, 5, 2], [7, 1, 7])
    assert find_scaling(x, None) is None
    other = ArrayLoader(np.float32([[15, 6, 2]]), [0], batch_size=4, device="cpu", scaling=(low, width))
    ((tested, _),) = other.test_batches()
    assert tested.tolist() == [[2, 1, 0]]


def test_each_row_once_in_the_order_of_seed_and_epoch():
    x, y = np.arange(11, dtype=np.float16)[:, None], np.arange(11)
    loader = ArrayLoader(x, y, batch_size=4, device="cpu", seed=3)
    for epoch in (0, 5):
        batches = list(loader.train_batches(epoch))
        assert [len(labels) for _, labels in batches] == [4, 4, 3]
        labels = torch.cat([labels for _, labels in batches])
        assert labels.tolist() == generator(3, "order", epoch).permutation(11).tolist()
        assert all(xb.dtype == torch.float32 and (xb[:, 0] == yb).all() for xb, yb in batches)
        origins = torch.cat([origin.image for origin in loader.origins(epoch)])
        assert origins.tolist() == labels.tolist()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_optimizer_is_that_of_the_formula(optimizer):
    """Three steps on one weight w, gradient g = w, against the papers' formulas in plain Python."""
    more = [] if optimizer != "sgd" else ["recipe.momentum=0.5"]
    words = [
        "recipe=mixup_uci",
        "dataset=iris",
        f"recipe.optimizer={optimizer}",
        "recipe.weight_decay=0.1",
        *more,
    ]
    recipe = build("recipe", compose(*words).recipe)
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 2.0)
    update = new_update(network, recipe, Compute(torch.device("cpu"), "fp32", False))
    update.set_lr(0.1)
    w, m, v = 2.0, 0.0, 0.0
    for t in (1, 2, 3):
        network.weight.grad = network.weight.detach().clone()
        update.optimizer.step()
        g = w + (0.1 * w if optimizer != "adamw" else 0)
        if optimizer == "sgd":
            m = 0.5 * m + g
            w -= 0.1 * m
        else:
            w -= 0.1 * 0.1 * w if optimizer == "adamw" else 0
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w -= 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
        assert network.weight.item() == pytest.approx(w, rel=1e-5)


def test_adam_starts_anew_and_resumes(words, tmp_path):
    """Two seeds in one process share a network; a resumed run goes on with Adam's memory."""
    whole, cut = tmp_path / "runs", tmp_path / "cut"
    assert main(["-m", *words, "seed=0,1", "checkpoint_seconds=0"]) == 0
    for seed in (0, 1):
        alone = tmp_path / f"alone{seed}"
        assert main([*words[:-1], f"seed={seed}", f"runs={alone}"]) == 0
        assert _history(whole, seed) == _history(alone, seed)
    _stop_after(2, [*words[:-1], f"runs={cut}"])
    assert main([*words[:-1], f"runs={cut}"]) == 0
    assert _history(cut, 0) == _history(whole, 0)


def _history(runs: Path, seed: int):
    (path,) = runs.glob(f"*/s{seed}/row.json")
    history = json.loads(path.read_text())["history"]
    return [{key: value for key, value in epoch.items() if "seconds" not in key} for epoch in history]


def _stop_after(epochs: int, words) -> None:
    from msda_train.training.run import Run

    done = Run.epoch

    def dying(self, epoch, step, bar):
        if epoch == epochs:
            raise KeyboardInterrupt
        return done(self, epoch, step, bar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "epoch", dying)
        assert main([*words, "checkpoint_seconds=0"]) == 130


def test_probes_that_need_no_pictures_work(words, tmp_path, capsys):
    from msda_train.cli.probe import main as probe

    assert main(words) == 0
    (run,) = (tmp_path / "runs").glob("*/s0")
    assert probe([str(run), "probes=standard"]) == 0
    err = capsys.readouterr().err
    numbers = _row(tmp_path)["probes"]
    assert "calibration/ece_15" in {f"calibration/{key}" for key in numbers["calibration"]["numbers"]}
    assert "probe ood left out: needs pictures, and these are rows" in err
    assert probe([str(run), "probes=mixup_fgsm"]) == 2  # nothing else was asked for


def test_a_recipe_of_before_keeps_its_name():
    from omegaconf import OmegaConf

    from msda_train.config.fingerprint import fingerprint
    from msda_train.training.train import AXES

    cfg = OmegaConf.to_container(compose("recipe=short"), resolve=True)
    old = {axis: cfg[axis] for axis in AXES}
    new = {
        **old,
        "recipe": old["recipe"] | {"optimizer": "sgd", "betas": [0.9, 0.999], "eps": 1e-8, "scaling": None},
    }
    adam = {**new, "recipe": new["recipe"] | {"optimizer": "adam"}}
    assert fingerprint(old) == fingerprint(new) != fingerprint(adam)
    with pytest.raises(UserError):
        build("recipe", compose("recipe=short", "recipe.optimizer=adam").recipe)
