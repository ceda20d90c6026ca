"""Factor mixup: blends by hand, truncated as the authors' int() does, and drawn by the data set's own pen."""

import json

import numpy as np
import pytest
import torch

from msda_train.cli.train import main
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.mix import NOWHERE
from msda_train.core.origin import Drawn, Origin
from msda_train.library.mixer import Mixer
from msda_train.methods.factor_mixup import FactorMixup

Y = torch.tensor([0, 1, 1, 0, 1, 0])
FACTORS = np.array([[30.5, -69.9], [149.2, 79.0], [31.0, 50.5], [88.8, -51.3], [60.1, 66.6], [120.0, -55.0]])


def _pen(factors):
    return torch.from_numpy(factors.astype(np.float32))[:, :, None, None]


def _planned(seed=3, **options):
    still = torch.zeros(6, dtype=torch.int64)
    origin = Origin(still, still, still, still, Drawn(FACTORS, _pen))
    x = _pen(FACTORS)
    return FactorMixup(**options).at(origin).plan(x, Y, None, np.random.default_rng(seed)), x


@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("pairing", ["permutation", "reversal"])
def test_blends_by_hand(truncate, lam_per, pairing):
    mix, x = _planned(truncate=truncate, lam_per=lam_per, pairing=pairing)
    rng = np.random.default_rng(3)
    assert rng.random() < 1  # the coin
    lam = rng.beta(1, 1, 6 if lam_per == "sample" else 1)
    perm = rng.permutation(6) if pairing == "permutation" else np.arange(6)[::-1]
    made, target = mix.pixels(x), mix.target(Y, 2)
    for i in range(6):
        own = float(lam[i % len(lam)])
        for k in range(2):
            value = own * FACTORS[i, k] + (1 - own) * FACTORS[perm[i], k]
            assert made[i, k].item() == pytest.approx(int(value) if truncate else value, rel=1e-6)
        one = own * int(Y[i]) + (1 - own) * int(Y[perm[i]])  # labels are not truncated
        assert target[i].tolist() == pytest.approx([1 - one, one], abs=1e-6)


def test_truncation_is_toward_zero():
    mix, x = _planned(pairing="reversal", lam_per="batch", alpha=1e6)  # lam is a half
    assert mix.pixels(x)[0, 1].item() == int((-69.9 - 55.0) / 2) == -62


def test_the_plan_asks_the_device_for_nothing():
    still = torch.zeros(6, dtype=torch.int64, device="meta")
    origin = Origin(still, still, still, still, Drawn(FACTORS, lambda factors: _pen(factors).to("meta")))
    x = torch.empty(6, 2, 1, 1, device="meta")
    mix = FactorMixup().at(origin).plan(x, still, None, np.random.default_rng(0))
    assert mix.pixels(x).device.type == mix.target(still, 2).device.type == "meta"


def test_in_a_loop_of_ones_own():
    """`Mixer` passes on the origin that a call is given."""
    mixer = Mixer("factor_mixup", num_classes=2, seed=0)
    still = torch.zeros(6, dtype=torch.int64)
    mixed, target = mixer(_pen(FACTORS), Y, origin=Origin(still, still, still, still, Drawn(FACTORS, _pen)))
    assert torch.equal(mixed, mixed.trunc())
    assert target.sum(1).tolist() == pytest.approx([1.0] * 6)
    with pytest.raises(ValueError, match="needs pictures that are drawn"):
        mixer(_pen(FACTORS), Y, origin=Origin(still, still, still, still))


def test_the_coin():
    mix, x = _planned(prob=0.0)
    assert mix.depth == NOWHERE
    assert torch.equal(mix.pixels(x), x)
    kinds = [_planned(seed, prob=0.3)[0].depth == 0 for seed in range(400)]
    assert np.mean(kinds) == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"alpha": 0.0}, "method.alpha=0.0"),
        ({"prob": 2.0}, "method.prob=2.0"),
        ({"lam_per": "image"}, "method.lam_per=image"),
        ({"pairing": "nearest"}, "method.pairing=nearest: unknown"),
        ({"truncate": 1}, "method.truncate=1: must be true or false"),
    ],
)
def test_bad_options(options, line):
    with pytest.raises(UserError, match=line):
        FactorMixup(**options)


def test_pictures_that_nobody_drew_are_refused(capsys, cache, tmp_path):
    words = ["dataset=digits", f"dataset.cache={cache}", f"runs={tmp_path}", "model.width=4", "recipe=smoke"]
    assert main([*words, "method=factor_mixup"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == (
        "msda-train: method=factor_mixup: needs pictures that are drawn from factors; type "
        "dataset=slanted_digits, or method=mixup"
    )
    with pytest.raises(UserError, match="nobody said what these were drawn from"):
        FactorMixup().plan(torch.zeros(2, 1, 4, 4), Y[:2], None, np.random.default_rng(0))


@pytest.fixture
def run(tmp_path):
    """A small run on drawn digits; its row."""

    def made(*words, runs="runs"):
        small = ["dataset.train_images=256", "dataset.test_images=64", "recipe.batch_size=32"]
        narrow = [
            "model.widths=[4,4]",
            "threads=1",
            "precision=fp32",
            "recipe.lr=0.01",
            "checkpoint_seconds=0",
        ]
        folder = tmp_path / runs
        assert main(["experiment=manifold_slanted_c", *small, *narrow, f"runs={folder}", *words]) == 0
        (path,) = folder.glob("*/s*/row.json")
        return json.loads(path.read_text())

    return made


def test_a_run_learns_and_says_what_it_saw(run):
    row = run("method=factor_mixup", "dataset.train_images=2048", "recipe.epochs=3")
    losses = [epoch["train_loss"] for epoch in row["history"]]
    assert losses[-1] < losses[0]
    assert row["data"]["train_images"] == 2048
    assert row["config"]["method"]["truncate"] is True


@pytest.mark.parametrize("method", ["erm", "mixup", "factor_mixup"])
def test_same_seed_same_run_another_seed_other_images(run, method):
    one, again = (run(f"method={method}", runs=name) for name in ("one", "again"))
    other = run(f"method={method}", "seed=1", runs="other")
    assert one["metrics"] == again["metrics"]
    assert one["history"][0]["train_loss"] != other["history"][0]["train_loss"]
    assert one["data"]["content"] == other["data"]["content"]
    assert one["fingerprint"] == other["fingerprint"]


def test_interrupted_equals_uninterrupted(run, tmp_path, monkeypatch):
    """Killed in the second of three epochs, then typed again."""
    whole = run("method=factor_mixup", "recipe.epochs=3", runs="whole")
    kept, calls = FactorMixup.at, []

    def breaks(self, origin):
        calls.append(1)
        if len(calls) == 12:  # eight batches an epoch
            raise KeyboardInterrupt
        return kept(self, origin)

    monkeypatch.setattr(FactorMixup, "at", breaks)
    with pytest.raises(AssertionError):
        run("method=factor_mixup", "recipe.epochs=3", runs="broken")
    monkeypatch.setattr(FactorMixup, "at", kept)
    resumed = run("method=factor_mixup", "recipe.epochs=3", runs="broken")
    assert len(resumed["sessions"]) == 2
    assert resumed["metrics"] == whole["metrics"]
    assert [e["train_loss"] for e in resumed["history"]] == [e["train_loss"] for e in whole["history"]]


def test_one_unit_is_a_sigmoid_with_binary_cross_entropy():
    words = ["model=strided_convnet", "model.widths=[3,5]", "model.size=[9,12]", "model.one_unit=true"]
    torch.manual_seed(0)
    network = build("model", compose(*words).model, classes=2, channels=1)
    x, target = torch.randn(7, 1, 9, 12), torch.rand(7)
    recipe = build("recipe", compose("experiment=manifold_slanted_a").recipe)
    logits = network(x)
    assert torch.equal(logits[:, 0], torch.zeros(7))
    loss = recipe.loss(logits, torch.stack([1 - target, target], dim=1))
    by_hand = torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits[:, 1]), target)
    torch.testing.assert_close(loss, by_hand)
    network.zero_grad()
    (ours,) = torch.autograd.grad(loss, network.stages[-1][1].weight, retain_graph=True)
    (theirs,) = torch.autograd.grad(by_hand, network.stages[-1][1].weight)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("words", "classes", "line"),
    [
        (["model.one_unit=true"], 3, "model.one_unit=true: tells 2 classes apart, not 3"),
        (["model.widths=[]"], 2, "model.widths=\\[\\]: must be a list"),
        (["model.widths=[0]"], 2, "model.widths=0: must be a whole number"),
        (["model.slope=2"], 2, "model.slope=2: must lie in"),
        (["model.size=[64]"], 2, "model.size=\\[64\\]: must be height and width"),
    ],
)
def test_networks_that_cannot_be(words, classes, line):
    with pytest.raises(UserError, match=line):
        build("model", compose("model=strided_convnet", *words).model, classes=classes, channels=1)


def test_the_network_is_the_authors():
    """Its parameters by hand, its map of 4 x 4 before the unit, and no activation behind the last norm."""
    node = compose("experiment=manifold_slanted_a").model
    network = build("model", node, classes=2, channels=1)
    convolutions = sum(25 * a * b + b + 2 * b for a, b in ((1, 32), (32, 64), (64, 128), (128, 256)))
    assert sum(p.numel() for p in network.parameters()) == convolutions + 256 * 4 * 4 + 1
    h = torch.randn(2, 1, 64, 64)
    for stage in network.stages[:-1]:
        h = stage(h)
    assert h.shape == (2, 256, 4, 4)
    kinds = [[type(layer).__name__ for layer in stage] for stage in network.stages[:-1]]
    assert kinds == [["Conv2d", "BatchNorm2d", "LeakyReLU"]] * 3 + [["Conv2d", "BatchNorm2d"]]
    assert network.stages[0][2].negative_slope == 0.02
