"""Runs that share a process: the same bits as in processes of their own, and no more memory than one."""

import gc
import json
import weakref

import pytest
import torch
from without_times import history

from msda_train.cli.train import main
from msda_train.config.compose import compose
from msda_train.core.errors import RunFailed, UserError
from msda_train.models.preactresnet import preactresnet
from msda_train.training import run as training
from msda_train.training.run import Run
from msda_train.training.run_cache import RunCache, is_ours
from msda_train.training.train import train

NAMES = dict.fromkeys(("dataset", "model", "method", "recipe", "experiment"))
WRN = ["model=wrn28_10", "model.depth=10", "model.width=1"]


@pytest.fixture
def run(small):
    """Trains what the words say, with what is kept; returns the row's path."""

    def one(cache, *words):
        return train(compose(*small(*words)), NAMES, lambda line: None, cache)

    return one


@pytest.fixture
def built(monkeypatch):
    """The networks that were made ready for training."""
    found, whole = [], training.new_update

    def counted(network, *rest):
        found.append(network)
        return whole(network, *rest)

    monkeypatch.setattr(training, "new_update", counted)
    return found


def _outcome(path):
    """What must not depend on the process: numbers of the row, and weights and momentum."""
    row = json.loads(path.read_text())
    return row["metrics"], history(row), torch.load(path.parent / "checkpoint.pt", weights_only=True)


def _same(one, other):
    for ours, theirs in ((one[2]["model"], other[2]["model"]), (_momentum(one), _momentum(other))):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert one[:2] == other[:2]


def _momentum(outcome):
    return {key: state["momentum_buffer"] for key, state in outcome[2]["optimizer"]["state"].items()}


SWEEPS = {
    "methods and seeds": [
        (f"method={method}", f"seed={seed}")
        for method in ("erm", "cutmix", "manifold_mixup")
        for seed in (0, 1)
    ],
    "gradients of a method's own": [
        ("method=puzzlemix", "method.blocks=[2,4]", "method.clean_lam=1.0", f"seed={seed}") for seed in (0, 1)
    ],
    "dropout": [(*WRN, "model.dropout=0.5", f"seed={seed}") for seed in (0, 1)],
    "shake-shake": [
        ("model=shake_shake29", "model.depth=11", "model.width=2", f"seed={seed}") for seed in (0, 1)
    ],
    **{
        name: [(*WRN, f"regulariser={name}", more, f"seed={seed}") for seed in (0, 1)]
        for name, more in (
            ("shakedrop", "method=mixup"),
            ("stochdepth", "method=manifold_mixup"),
            ("dropblock", "model.regulariser.block=2"),
        )
    },
    "recipes": [
        ("recipe.lr=0.05", "recipe.flip=true", "recipe.crop_padding=1"),
        ("recipe.lr=0.02", "recipe.cutout=3", "recipe.epochs=3"),
    ],
    "label noise": [("dataset.label_noise=0.5",), ("dataset.label_noise=0.2",)],
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_later_run_is_the_run(run, built, tmp_path, sweep):
    cache = RunCache()
    words = [(*each, "recipe.momentum=0.9") for each in SWEEPS[sweep]]
    together = [_outcome(run(cache, *each, f"runs={tmp_path / 'together'}")) for each in words]
    assert len(built) == 1
    for each, found in zip(words, together, strict=True):
        _same(found, _outcome(run(RunCache(), *each, f"runs={tmp_path / 'alone'}")))
    assert len(built) == 1 + len(words)


@pytest.mark.slow
def test_a_compiled_network_serves_all(run, built, tmp_path, recwarn):
    """Ten variants and more of one network: torch goes on compiling, and to the same bits."""
    plans = [("method=erm",), ("method=manifold_mixup", "method.depths=[0,1,2]"), ("method=pgd_training",)]
    plans += [("method=manifold_mixup", "method.depths=[0,1,2]", "method.lam_per=sample", "seed=1")]
    cache, compiled = RunCache(), ("compile=true", "recipe.epochs=3")
    together = [_outcome(run(cache, *each, *compiled, f"runs={tmp_path / 'together'}")) for each in plans]
    assert len(built) == 1
    counters = torch._dynamo.utils.counters["frames"]
    assert counters["ok"] == counters["total"] > 8
    for each, found in zip(plans, together, strict=True):
        _same(found, _outcome(run(None, *each, *compiled, f"runs={tmp_path / 'alone'}")))


def test_a_sweep_shares_too(small, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["msda-train"])
    assert main(["-m", *small(), "method=mixup,hmix", "seed=0,1"]) == 0
    assert len(built) == 1
    assert len(list(tmp_path.rglob("row.json"))) == 4


def test_a_later_run_is_resumed(run, built, tmp_path, monkeypatch):
    words = ("method=cutmix", "recipe.epochs=4", "seed=3")
    straight = _outcome(run(None, *words, f"runs={tmp_path / 'straight'}"))
    whole = Run.epoch
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "epoch", lambda self, i, *rest: whole(self, i, *rest) if i < 2 else _stop())
        run(None, *words)
    built.clear()
    cache = RunCache()
    run(cache, "method=manifold_mixup", "seed=1")
    _same(_outcome(run(cache, *words)), straight)
    assert len(built) == 1


def _stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "other",
    [
        ["model.width=5"],
        ["model.dropout=0.1"],
        ["recipe.weight_decay=0.1"],
        ["recipe.label_smoothing=0.1"],
        ["recipe.batch_size=20"],
        ["precision=bf16"],
        ["deterministic=true"],
    ],
)
def test_what_does_not_fit_is_made_anew(run, built, tmp_path, other):
    cache = RunCache()
    run(cache)
    expected = _outcome(run(None, *other, f"runs={tmp_path / 'alone'}"))
    built.clear()
    _same(_outcome(run(cache, *other, f"runs={tmp_path / 'together'}")), expected)
    assert len(built) == 1


def test_other_images_are_read_anew(run, tmp_path):
    cache = RunCache()
    run(cache)
    images = cache.last["images"][1]
    run(cache, "seed=1")
    assert cache.last["images"][1] is images
    words = ["dataset.subset=70"]
    expected = _outcome(run(None, *words, f"runs={tmp_path / 'alone'}"))
    _same(_outcome(run(cache, *words)), expected)
    assert len(cache.last["images"][1].x_train) == 70


def test_the_old_goes_before_the_new_is_made(run, monkeypatch):
    """Images with their batches, and the network: at no time are there two."""
    cache, alive = RunCache(), []
    run(cache)
    old = [weakref.ref(cache.last[kind][1]) for kind in ("images", "training batches", "test batches")]
    network = weakref.ref(cache.last["network"][1].network)
    whole = training.new_update

    def look(*arguments):
        alive.extend(ref() for ref in [*old, network])
        return whole(*arguments)

    monkeypatch.setattr(training, "new_update", look)
    run(cache, "model.width=5", "dataset.subset=70")
    assert alive == [None] * 4


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["recipe.lr=1e30", "recipe.warmup_epochs=0"], RunFailed),
        (["method=manifold_mixup", "method.depths=[9]"], UserError),
    ],
)
def test_after_an_error_nothing_is_kept(run, words, error):
    cache = RunCache()
    run(cache)
    network = weakref.ref(cache.last["network"][1].network)
    with pytest.raises(error):
        run(cache, *words)
    assert cache.last == {}
    gc.collect()
    assert network() is None


def test_after_a_profile_nothing_is_kept(run):
    cache = RunCache()
    run(cache)
    run(cache, "profile=true", "seed=1")
    assert cache.last == {}


class Counting(torch.nn.Module):
    """Somebody's own network, which remembers more than weights."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.calls = inner, 0

    def forward(self, x, mix=None):
        self.calls += 1
        return self.inner(x, mix) * (1 + 0.01 * self.calls)


def counting(classes, channels):
    return Counting(preactresnet([1, 1], 4, "manifold", 1, classes=classes, channels=channels))


def test_somebodys_own_network_is_not_kept(run, small, tmp_path):
    def one(cache, seed, runs):
        cfg = compose(*small(f"seed={seed}", f"runs={tmp_path / runs}"))
        cfg.model = {"_target_": f"{__name__}.counting"}
        return _outcome(train(cfg, NAMES, lambda line: None, cache))

    cache = RunCache()
    one(cache, 0, "a")
    assert "network" not in cache.last
    assert "images" in cache.last
    _same(one(cache, 1, "a"), one(None, 1, "b"))


def test_ours():
    assert is_ours({"_target_": "msda_train.models.vgg.vgg16_bn", "regulariser": None, "blocks": [1, 2]})
    assert not is_ours({"_target_": "mine.Net"})
    assert not is_ours({"_target_": "msda_train.x", "regulariser": {"_target_": "mine.Drop"}})
    assert not is_ours({"_target_": "msda_train.x", "parts": [{"_target_": "mine.Drop"}]})


def test_a_row_says_how_many_runs_were_before(run):
    cache = RunCache()
    memory = [json.loads(run(cache, f"seed={seed}").read_text())["memory"] for seed in (0, 1)]
    assert [each["earlier_runs"] for each in memory] == [0, 1]
    assert all(50 < each["host_peak_mib"] < 100_000 for each in memory)


def test_find_lets_go():
    class Thing:
        pass

    cache, thing = RunCache(), Thing()
    cache.keep("network", {"width": 4}, thing)
    cache.keep("test batches", 1, "batches")
    assert cache.find("network", {"width": 4}) is thing
    ref = weakref.ref(thing)
    del thing
    assert cache.find("network", {"width": 5}) is None
    assert ref() is None
    assert cache.find("test batches", 1) == "batches"
    cache.keep("images", 1, "images")
    assert cache.find("images", 2) is None  # and with them what was made of them
    assert cache.find("test batches", 1) is None
