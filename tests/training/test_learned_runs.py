"""Runs of methods that learn: they do, they resume bit for bit, and what is tested is what is kept."""

import json
import math

import pytest
import torch
from without_times import history

from msda_train.core.errors import UserError
from msda_train.evaluation.verify import verify
from msda_train.methods._learned import Learner
from msda_train.methods._mix_block import Generator, MixBlock
from msda_train.models.trained import load_network
from msda_train.training.run import Run

LEARNED = ("automix", "samix", "adautomix")
WORDS = ("model=resnet18", "model.blocks=[1,1,1]", "method.layer=2")


def _flat(tree, name=""):
    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in _flat(item, f"{name}/{key}").items()}
    if isinstance(tree, list):
        return _flat(dict(enumerate(tree)), name)
    return {name: tree}


def _checkpoint(path):
    state = torch.load(path.parent / "checkpoint.pt", weights_only=True)
    del state["progress"]
    return _flat(state)


def _interrupted(go, monkeypatch, before, *words):
    whole = Run.epoch

    def epoch(self, index, *rest):
        if index == before:
            raise KeyboardInterrupt
        return whole(self, index, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "epoch", epoch)
        go(*words)


@pytest.mark.parametrize("method", LEARNED)
def test_interrupted_equals_uninterrupted(go, tmp_path, monkeypatch, method):
    words = [f"method={method}", *WORDS, "recipe.epochs=3", "recipe.crop_padding=1", "seed=3"]
    straight = go(*words, f"runs={tmp_path / 'straight'}")
    _interrupted(go, monkeypatch, 1, *words)
    resumed = go(*words)
    assert history(resumed) == history(straight)
    ours, theirs = _checkpoint(resumed), _checkpoint(straight)
    assert ours.keys() == theirs.keys()
    assert any(key.startswith("/learned/optimizer/state/0/") for key in theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else ours[key] == value


@pytest.mark.parametrize("tested", ["momentum", "classifier"])
def test_the_tested_network_is_the_one_that_is_kept(go, tested):
    """What `verify` and every probe open has the row's error; it follows the classifier slowly."""
    path = go("method=automix", *WORDS, "recipe.epochs=2", f"method.tested={tested}", "method.momentum=0.5")
    again = verify(path)
    assert again.equal
    state = torch.load(path.parent / "checkpoint.pt", weights_only=True)
    network, _ = load_network(path.parent)
    last = network.stages[-1][-1].weight
    assert ("classifier" in state) == (tested == "momentum")
    encoder = state["learned"]["encoder"]["stages.3.1.weight"]
    assert torch.equal(last, encoder) == (tested == "momentum")


def test_a_checkpoint_of_weights_goes_on_without_momentum(go, monkeypatch):
    words = ["method=samix", *WORDS, "recipe.epochs=2", "checkpoint=weights"]
    _interrupted(go, monkeypatch, 1, *words)
    row = json.loads(go(*words).read_text())
    assert [session.get("lost") for session in row["sessions"]] == [None, "optimizer state"]
    assert math.isfinite(row["history"][-1]["nll"])


def test_a_checkpoint_without_what_was_learned_does_not_fit(go, monkeypatch, tmp_path):
    words = ["method=automix", *WORDS, "recipe.epochs=2"]
    _interrupted(go, monkeypatch, 1, *words)
    (path,) = tmp_path.rglob("checkpoint.pt")
    state = torch.load(path, weights_only=True)
    del state["learned"]
    torch.save(state, path)
    with pytest.raises(UserError, match="does not fit"):
        go(*words)


@pytest.mark.parametrize("method", LEARNED)
def test_bf16(go, method):
    row = json.loads(go(f"method={method}", *WORDS, "precision=bf16").read_text())
    assert all(math.isfinite(epoch["nll"]) for epoch in row["history"])


def test_epochs_of_erm_come_first(go, monkeypatch):
    """Until the method is asked, the classifier is tested; the encoder begins as its copy, not as that of
    the first weights."""
    begun = []
    whole = Learner._follow

    def follow(self, network, momentum):
        if momentum == 0:
            first = self.encoder.stages[0][0].weight.clone()
            whole(self, network, momentum)
            begun.append(
                (first, self.encoder.stages[0][0].weight.clone(), network.stages[0][0].weight.clone())
            )
        else:
            whole(self, network, momentum)

    monkeypatch.setattr(Learner, "_follow", follow)
    path = go("method=automix", *WORDS, "recipe.epochs=3", "+recipe.erm_epochs=2")
    ((before, after, classifier),) = begun
    assert not torch.equal(before, classifier)
    assert torch.equal(after, classifier)
    assert verify(path).equal


@pytest.mark.parametrize(("method", "epochs"), [("automix", 25), ("samix", 45), ("adautomix", 30)])
def test_it_learns(go, monkeypatch, method, epochs):
    """On digits the loss of the mixer falls, and masks leave their start: all images alike, everywhere. In a
    network as narrow as this AutoMix and AdAutoMix first learn how much of each image, SAMix soon learns
    where, too."""
    losses, away, within = [], [], []
    teach, mixer = Learner.teach, MixBlock if method != "adautomix" else Generator
    whole = mixer.forward

    def taught(self, loss, *rest):
        losses.append(loss.item())
        teach(self, loss, *rest)

    def seen(self, *inputs):
        masks = whole(self, *inputs)
        start = 1 / 2 if masks.shape[1] == 1 else 1 / masks.shape[1]
        away.append((masks.detach() - start).abs().mean().item())
        within.append(masks.detach().std((2, 3)).mean().item())
        return masks

    monkeypatch.setattr(Learner, "teach", taught)
    monkeypatch.setattr(mixer, "forward", seen)
    words = ["method.momentum=0.9", "method.end_momentum=0.99", f"recipe.epochs={epochs}"]
    go(f"method={method}", *WORDS, "model.width=8", "dataset.subset=200", "recipe.lr=0.05", *words)
    if method == "adautomix":
        losses = losses[1::2]  # in the other steps it learns to make it large
    few = 20
    assert sum(losses[-few:]) < 0.9 * sum(losses[:few])
    assert away[0] < 0.01
    assert sum(away[-few:]) / few > 10 * away[0]
    if method == "samix":
        assert within[0] < 1e-3
        assert sum(within[-few:]) / few > 0.01


def test_several_devices_are_refused_before_data_are_read(go, monkeypatch):
    def read(*_):
        raise AssertionError

    monkeypatch.setattr(Run, "data", read)
    with pytest.raises(UserError, match=r"devices=2: AutoMix .*type devices=1"):
        go("method=automix", "devices=2")


def test_cosine_may_end_above_zero(go):
    words = ["recipe.epochs=2", "recipe.schedule=cosine", "recipe.min_lr=0.02", "recipe.lr=0.1"]
    rates = [epoch["lr"] for epoch in history(go(*words))]
    assert rates == pytest.approx([0.1, 0.06])  # half way from 0.1 to 0.02
    with pytest.raises(UserError, match=r"recipe.min_lr"):
        go("recipe.schedule=step", "recipe.min_lr=0.02")
