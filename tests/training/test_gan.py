"""task=gan: the steps against formulas by hand, and the same run however often it is interrupted."""

import base64
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from without_times import history, measured

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import RunFailed
from msda_train.core.randomness import generator
from msda_train.data.gaussians import Gaussians
from msda_train.functional.modes import coverage
from msda_train.methods.gan_mixup import GanErm, GanMixup
from msda_train.models.adversaries import Adversaries
from msda_train.records.rows import load_rows, read_row
from msda_train.training import gan
from msda_train.training.gan import Game, GanRecipe, GanRun
from msda_train.training.train import train

SMALL = ["task=gan", "model.width=8", "recipe.iterations=45", "recipe.batch_size=16", "dataset.sigma=0.3"]
SMALL += ["recipe.snapshots=[3,25]", "threads=1", "device=cpu", "checkpoint_seconds=0"]
NAMES = {"dataset": "gan/ring", "model": "gan/mlp", "method": "gan/erm", "recipe": "gan/mixup"}


def _game(method, **options):
    torch.manual_seed(0)
    network = Adversaries(latent=2, width=16, layers=2)
    usual = {"iterations": 10, "discriminator_steps": 5, "batch_size": 8, "lr": 1e-3, "snapshots": []}
    recipe = GanRecipe(**(usual | {"generator_loss": "minimax"} | options))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)
    return Game(network, optimizer, method, Gaussians("ring", "ring", 8, 0.01), recipe, torch.device("cpu"))


def _weights(module):
    return [p.detach().clone() for p in module.parameters()]


def _moved(before, module):
    return [not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True)]


PAPER = GanMixup(0.2, "beta", "real_generated", "mixed")
METHODS = [GanErm(), GanMixup(0.2), PAPER, GanMixup(0.2, "beta", "real_generated", beside=True)]


@pytest.mark.parametrize("method", METHODS, ids=["erm", "code", "paper", "beside"])
def test_each_player_moves_alone_and_as_often_as_told(method):
    game, rng = _game(method), np.random.default_rng(0)
    before = _weights(game.network.generator)
    game._discriminator_step(rng)
    assert not any(_moved(before, game.network.generator))
    before = _weights(game.network.discriminator)
    game._generator_step(rng)
    assert not any(_moved(before, game.network.discriminator))
    game = _game(method)
    before = _weights(game.network)
    game.iteration(rng)
    game.iteration(rng)
    assert all(_moved(before, game.network))
    steps = [
        {int(game.optimizer.state[p]["step"]) for p in player.parameters()}
        for player in (game.network.discriminator, game.network.generator)
    ]
    assert steps == [{10}, {2}]


def _drawn(game, seed):
    """What a step with this seed draws first: real and generated points."""
    rng = np.random.default_rng(seed)
    real = torch.from_numpy(game.data.points(rng, 8))
    noise = torch.from_numpy(rng.standard_normal((8, 2), dtype=np.float32))
    return real, game.network(noise), rng


def _softplus(x):
    return x.exp().log1p().mean()


def _agrees(game, step, player, loss):
    """The step's loss is `loss`, and Adam's first step is lr times the sign of its gradient."""
    weights = list(player.parameters())
    gradients = torch.autograd.grad(loss, weights)
    before = _weights(player)
    assert step(np.random.default_rng(3)) == pytest.approx(loss.item(), rel=1e-5)
    for old, new, gradient in zip(before, weights, gradients, strict=True):
        sure = gradient.abs() > 1e-4  # the rest may round either way
        assert torch.allclose((new - old)[sure], -1e-3 * gradient.sign()[sure], rtol=1e-2)


def test_the_usual_loss_of_the_discriminator():
    """-log d(x) - log(1 - d(g(z))), with d = sigmoid of the logit."""
    game = _game(GanErm())
    real, generated, _ = _drawn(game, 3)
    d = game.network.discriminator
    loss = _softplus(-d(real)) + _softplus(d(generated.detach()))
    _agrees(game, game._discriminator_step, d, loss)


@pytest.mark.parametrize(("kind", "sign"), [("minimax", 1), ("non_saturating", -1)])
@pytest.mark.parametrize("method", [GanErm(), GanMixup(0.2)], ids=["erm", "code"])
def test_what_the_generator_is_judged_by(kind, sign, method):
    """log(1 - d(g(z))) in the code, also where the discriminator learns from blends; or -log d(g(z))."""
    game = _game(method, generator_loss=kind)
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((8, 2), dtype=np.float32))
    logit = game.network.discriminator(game.network(noise))
    _agrees(game, game._generator_step, game.network.generator, -sign * _softplus(sign * logit))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_the_objective_of_the_paper(player):
    """max_g min_d l(d(lam x + (1 - lam) g(z)), lam): the same for both, with opposite signs."""
    game = _game(PAPER)
    real, generated, rng = _drawn(game, 3)
    lam = torch.from_numpy(rng.beta(0.2, 0.2, 8).astype(np.float32))[:, None]
    d = game.network.discriminator(lam * real + (1 - lam) * generated).sigmoid()
    loss = -(lam * d.log() + (1 - lam) * (1 - d).log()).mean()
    step = getattr(game, f"_{player}_step")
    _agrees(game, step, getattr(game.network, player), loss if player == "discriminator" else -loss)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(gan, "EPOCH", 10)


@pytest.fixture
def play(tmp_path, short):
    def run(*words):
        cfg = compose(*SMALL, f"runs={tmp_path / 'runs'}", *words)
        return train(cfg, NAMES | {"experiment": None}, lambda line: None)

    return run


@pytest.mark.parametrize("method", ["erm", "mixup", "mixup_paper"])
def test_an_interrupted_run_ends_with_the_same_bits(play, tmp_path, monkeypatch, method):
    words = [f"method=gan/{method}", "seed=3"]
    straight = play(*words, f"runs={tmp_path / 'straight'}")
    whole = GanRun.epoch

    def epoch(self, number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        return whole(self, number, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GanRun, "epoch", epoch)
        play(*words)
    resumed = play(*words)
    assert measured(resumed) == measured(straight)
    states = [torch.load(p.parent / "checkpoint.pt", weights_only=True) for p in (resumed, straight)]
    assert all(torch.equal(states[0]["model"][k], w) for k, w in states[1]["model"].items())
    moments = [state["optimizer"]["state"] for state in states]
    assert all(torch.equal(moments[0][p][k], v) for p, kept in moments[1].items() for k, v in kept.items())
    sessions = json.loads(resumed.read_text())["sessions"]
    assert [(s["from_epoch"], s["to_epoch"]) for s in sessions] == [(1, 2), (3, 4)]


def test_killed_and_begun_again(tmp_path):
    """SIGKILL in the middle; the same command goes on and ends with the same numbers."""
    program = "import sys; from msda_train.training import gan; gan.EPOCH = 10; "
    program += "from msda_train.cli.train import main; sys.exit(main())"

    def start(folder, words=SMALL):
        command = [sys.executable, "-c", program, *words, f"runs={tmp_path / folder}", "method=gan/mixup"]
        command += ["recipe.iterations=300"]
        return subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    straight, killed = start("straight"), start("runs")
    while not list((tmp_path / "runs").rglob("checkpoint.pt")) and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not list((tmp_path / "runs").rglob("row.json"))
    assert start("runs").wait() == 0
    assert straight.wait() == 0
    (one,), (other,) = ((tmp_path / name).rglob("row.json") for name in ("runs", "straight"))
    assert measured(one) == measured(other)
    assert len(json.loads(one.read_text())["sessions"]) == 2


def test_a_longer_run_begins_as_a_shorter_one(play):
    """The number of iterations is in no draw, so a snapshot at 20,000 can be had on the way to more."""
    short, long = (history(play(f"recipe.iterations={n}")) for n in (20, 40))
    assert long[:2] == short
    assert len(long) == 4


def test_the_row(play):
    path = play("method=gan/mixup", "seed=1")
    row, raw = read_row(path), json.loads(path.read_text())
    assert raw["task"] == row.task == "gan"
    assert row.signed
    assert row.config["method"] == {
        "_target_": "msda_train.methods.gan_mixup.GanMixup",
        **{"alpha": 0.2, "lam": "uniform", "pairs": "any", "generator": "unmixed", "beside": False},
    }
    assert row.data["modes"] == 8
    assert row.environment["precision"] == "fp32"
    last = raw["history"][-1]
    assert [epoch["iteration"] for epoch in raw["history"]] == [9, 19, 29, 44]
    assert row.metrics["modes/last"] == last["modes"]
    assert row.metrics["good/best"] == max(epoch["good"] for epoch in raw["history"])
    assert not row.path.with_name("gallery.json").exists()


def test_what_is_measured_is_what_the_stored_generator_makes(play):
    path = play("seed=2")
    raw, state = json.loads(path.read_text()), torch.load(path.with_name("checkpoint.pt"), weights_only=True)
    network = build("model", compose(*SMALL).model)
    network.load_state_dict(state["model"])
    data = build("dataset", compose(*SMALL).dataset, needed="points")
    noise = generator(2, "judged").standard_normal((gan.JUDGED, 2), dtype=np.float32)
    with torch.no_grad():
        points = network(torch.from_numpy(noise))
    found, good = coverage(points, torch.from_numpy(data.centres), 0.3)
    assert (raw["metrics"]["modes/last"], raw["metrics"]["good/last"]) == (found / 8, good)


def test_snapshots_are_kept_at_their_iterations(play):
    history = json.loads(play().read_text())["history"]
    kept = {key: text for epoch in history for key, text in epoch.get("snapshots", {}).items()}
    assert list(kept) == ["3", "25"]
    assert [k for k, epoch in enumerate(history) if "snapshots" in epoch] == [0, 2]
    points = {key: np.frombuffer(base64.b64decode(text), "<f2").reshape(-1, 2) for key, text in kept.items()}
    assert all(each.shape == (gan.SHOWN, 2) for each in points.values())
    assert not np.array_equal(points["3"], points["25"])


def test_a_generator_learns(play):
    """Two wide modes and a small network: in seconds both are found and most samples are good."""
    words = ["dataset.modes=2", "dataset.sigma=0.2", "model.width=32", "recipe.iterations=400"]
    row = read_row(play(*words, "recipe.batch_size=64", "method=gan/mixup_beside"))
    history = json.loads(row.path.read_text())["history"]
    assert history[0]["good"] < 0.5
    assert row.metrics["modes/last"] == 1
    assert row.metrics["good/last"] > 0.6


def test_a_loss_that_is_not_finite(play):
    with pytest.raises(RunFailed, match=r"recipe\.lr"):
        play("recipe.lr=1e30")


def test_two_tasks_in_one_folder(play, go, tmp_path):
    """Whoever asks for classifiers gets no GAN, and a row of each is read as its own."""
    play()
    go()
    places = [tmp_path / "runs"]
    assert [row.task for row in load_rows(places)[0]] == ["classification"]
    assert [row.task for row in load_rows(places, "gan")[0]] == ["gan"]
    assert len(load_rows(places, None)[0]) == 2
