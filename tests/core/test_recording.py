"""Recording and replaying, with a recorder that runs on the CPU: all but CUDA's own part."""

import gc
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core import recording
from msda_train.core.recording import EAGER, Recordings, replayed
from msda_train.methods._input_gradient import input_gradient
from msda_train.models.preactresnet import preactresnet


class Tape:
    """Keeps its work and the tensors it was recorded with, as a graph does; runs it only when replayed."""

    def __init__(self, *, several=0):
        self.several, self.recorded = several, 0

    def __call__(self, work):
        self.recorded += 1
        outcome = tuple(torch.empty(0) for _ in range(self.several)) or torch.empty(0)

        def replay():
            new = work()
            for kept, value in zip(outcome, new, strict=True) if self.several else [(outcome, new)]:
                kept.data = value.detach()

        return replay, outcome


@pytest.fixture
def tape(monkeypatch):
    """Methods' own work is recorded by it, on the CPU."""
    tape = Tape()
    monkeypatch.setattr(recording.SWITCH, "wanted", lambda x: True)
    monkeypatch.setattr(recording.SWITCH, "owners", WeakKeyDictionary())
    monkeypatch.setattr(recording, "Recordings", lambda: Recordings(tape))
    return tape


def test_each_name_and_shape_has_its_own():
    tape = Tape()
    recordings = Recordings(tape)
    for k in range(EAGER + 3):
        a, b = torch.full((3,), float(k)), torch.full((2, 2), float(k))
        assert torch.equal(recordings("double", lambda t: 2 * t, a), 2 * a)
        assert torch.equal(recordings("double", lambda t: 2 * t, b), 2 * b)
    assert tape.recorded == 2


def test_an_outcome_may_be_several_tensors():
    recordings = Recordings(Tape(several=2))
    for k in range(EAGER + 3):
        a = torch.full((3,), float(k))
        low, high = recordings("both", lambda t, u: (t - u, t + u), a, 2 * a)
        assert torch.equal(low, -a)
        assert torch.equal(high, 3 * a)


def test_an_outcome_stays_what_it_was():
    recordings = Recordings(Tape())
    found = [recordings("same", lambda t: t + 1, torch.tensor([float(k)])) for k in range(EAGER + 4)]
    assert torch.cat(found).tolist() == [k + 1 for k in range(EAGER + 4)]


def test_off_means_as_it_is(monkeypatch):
    monkeypatch.setattr(recording, "Recordings", None)
    assert replayed(object, "", lambda t: t + 1, torch.zeros(1)).item() == 1


@pytest.mark.parametrize("clean_lam", [0.0, 1.0])
def test_a_saliency_replayed_is_the_saliency(tape, clean_lam):
    """Of the weights as they are now, not as they were when recorded; and it adds the same gradients."""
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    draw = torch.Generator().manual_seed(1)
    for _ in range(EAGER + 3):
        x, y = torch.randn(4, 3, 16, 16, generator=draw), torch.randint(0, 10, (4,), generator=draw)
        found = []
        for wanted in (True, False):
            recording.SWITCH.wanted = lambda x, wanted=wanted: wanted
            network.zero_grad(set_to_none=False)
            gradient = input_gradient(x, y, network, clean_lam=clean_lam)
            grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
            found.append([gradient, *grads])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
        with torch.no_grad():
            for p in network.parameters():
                p.add_(0.1 * torch.randn(p.shape, generator=draw))
    assert tape.recorded == 1


def test_puzzle_mix_replayed_is_puzzle_mix(monkeypatch):
    """Other images, partners, lam and grids each time; every piece has its recording by then."""
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    method = build("method", compose("dataset=cifar10", "method=puzzlemix", "method.blocks=[2,4]").method)
    made = []

    def recordings():
        made.append(Recordings(Tape(several=3 * (len(made) == 2))))  # the third to ask is the transport
        return made[-1]

    monkeypatch.setattr(recording, "Recordings", recordings)
    monkeypatch.setattr(recording.SWITCH, "owners", WeakKeyDictionary())
    for k in range(4 * EAGER):
        x, y = torch.randn(4, 3, 16, 16), torch.randint(0, 10, (4,))
        found = []
        for wanted in (True, False):
            monkeypatch.setattr(recording.SWITCH, "wanted", lambda x, wanted=wanted: wanted)
            mix = method.plan(x, y, network, np.random.default_rng(k))
            found.append((mix.pixels(x), mix.lam))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert len(made) == 3
    assert all(each.record.recorded for each in made)


def test_recordings_go_with_their_network(tape):
    network = torch.nn.Linear(2, 2)
    for _ in range(EAGER + 1):
        replayed(network, "", lambda t: t + 1, torch.zeros(1))
    assert len(recording.SWITCH.owners) == 1
    del network
    gc.collect()
    assert len(recording.SWITCH.owners) == 0
