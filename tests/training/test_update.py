"""Recording and replaying the update, with a recorder that runs on the CPU: all but CUDA's own part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.mix import Mix
from msda_train.core.recording import EAGER, Recordings
from msda_train.models.preactresnet import preactresnet
from msda_train.training.device import Compute
from msda_train.training.step import Step
from msda_train.training.update import Replay, Update

FLOAT = Compute(torch.device("cpu"), "fp32", False)


class Tape:
    """Stands in for a CUDA graph: knows its work by the tensors it was recorded with, and counts."""

    def __init__(self):
        self.recorded, self.replayed = 0, 0

    def __call__(self, work):
        self.recorded += 1
        result = []

        def replay():
            self.replayed += 1
            result[:] = work()

        return replay, result


def _update(kind=Update, **more):
    torch.manual_seed(0)
    network = preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    recipe = build("recipe", compose("dataset=cifar10").recipe)
    return kind(network, network, recipe.loss, optimizer, FLOAT, **more)


def _trained(update, method, batches):
    step = Step(method, lambda x, _: x, 10, update)
    losses = []
    for i, (x, y) in enumerate(batches):
        update.set_lr(0.1 / (1 + i))
        losses.append(step(x, y, np.random.default_rng(i)).item())
    return losses


def _batches(sizes):
    draw = torch.Generator().manual_seed(1)
    return [
        (torch.randn(n, 3, 16, 16, generator=draw), torch.randint(0, 10, (n,), generator=draw)) for n in sizes
    ]


@pytest.mark.parametrize("word", ["erm", "mixup", "cutmix", "pgd_training", "manifold_mixup", "blocked"])
def test_replayed_steps_are_the_steps(word):
    """Other images, labels, plans and learning rates each time; smaller last batches have their own."""
    inside = ["manifold_mixup", "method.depths=[0,1]"]
    known = {"manifold_mixup": inside, "blocked": [*inside, "method.block_gradients=true"]}
    method, *options = known.get(word, [word])
    cfg = compose("dataset=cifar10", f"method={method}", *options)
    method, batches = build("method", cfg.method), _batches([8, 8, 8, 6] * 5)
    plain, tape = _update(), Tape()
    replayed = _update(Replay, recordings=Recordings(tape))
    assert _trained(plain, method, batches) == _trained(replayed, method, batches)
    for p, q in zip(plain.network.parameters(), replayed.network.parameters(), strict=True):
        assert torch.equal(p, q)
    assert tape.recorded >= 2
    assert tape.replayed == len(batches) - sum(known.seen for known in replayed.recordings.known.values())


def test_blocked_gradients_have_recordings_of_their_own():
    x = torch.zeros(2, 3, 4, 4)
    mix = replace(Mix.identity(x), depth=1)
    assert mix.key != replace(mix, blocked=True).key
    assert mix.key != replace(mix, depth=2).key


def test_one_recording_serves_every_method_that_mixes_pixels():
    tape = Tape()
    update = _update(Replay, recordings=Recordings(tape))
    for word in ("erm", "mixup", "cutmix", "hmix", "gmix", "fmix"):
        method = build("method", compose("dataset=cifar10", f"method={word}").method)
        _trained(update, method, _batches([8] * 4))
    assert tape.recorded == 1


def test_a_returned_loss_stays_what_it_was():
    update = _update(Replay, recordings=Recordings(Tape()))
    (x, _), target = _batches([8])[0], torch.eye(10)[:8]
    update.begin()
    losses = [update(x, target) for _ in range(EAGER + 3)]
    assert len({loss.data_ptr() for loss in losses}) == len(losses)


def test_a_plan_with_its_own_features_is_not_recorded():
    tape = Tape()
    update = _update(Replay, recordings=Recordings(tape))
    x, _ = _batches([8])[0]
    features = torch.randn(8, 4, 16, 16)
    mix = replace(Mix.identity(x), depth=1, sources=(features, features))
    for _ in range(EAGER + 2):
        update.begin()
        update(x, torch.eye(10)[:8], mix)
    assert tape.recorded == 0


@pytest.mark.parametrize("kind", [Update, Replay])
def test_restart_is_a_fresh_run(kind):
    """Same weights, no momentum, same numbers as in a new process; nothing moves in memory."""
    batches = _batches([8] * 6)
    method = build("method", compose("dataset=cifar10", "method=mixup").method)
    more = {"recordings": Recordings(Tape())} if kind is Replay else {}
    update = _update(kind, **more)
    weights = {k: v.clone() for k, v in update.network.state_dict().items()}
    first = _trained(update, method, batches)
    places = [p.data_ptr() for p in update.network.parameters()]
    update.restart(weights)
    assert _trained(update, method, batches) == first
    assert [p.data_ptr() for p in update.network.parameters()] == places


def test_resume_keeps_what_was_recorded():
    batches = _batches([8] * 8)
    method = build("method", compose("dataset=cifar10", "method=mixup").method)
    whole, half = _update(), _update()
    expected = _trained(whole, method, batches)[5:]
    step = Step(method, lambda x, _: x, 10, half)
    for i, (x, y) in enumerate(batches[:5]):
        half.set_lr(0.1 / (1 + i))
        step(x, y, np.random.default_rng(i))
    states = half.network.state_dict(), half.optimizer.state_dict()
    other = _update(Replay, recordings=Recordings(Tape()))
    _trained(other, method, _batches([8] * 5))  # another run's past, already recorded
    other.resume(*states)
    step = Step(method, lambda x, _: x, 10, other)
    found = []
    for i, (x, y) in enumerate(batches[5:], start=5):
        other.set_lr(0.1 / (1 + i))
        found.append(step(x, y, np.random.default_rng(i)).item())
    assert found == expected


PATCHES = ["model=deit_s", "model.size=[16,16]", "model.patch=4", "model.width=8", "model.depth=1"]


@pytest.mark.parametrize(
    "word", ["regmixup", "recursivemix", "transmix", "smmix", "mixpro", "sumix", "rankmixup"]
)
def test_replayed_losses_of_methods_own_are_the_losses(word):
    """Two epochs: what is looked at in a forward pass, and remembered of it, is that of the replayed one."""
    more = {"regmixup": ["method.loss=sum"], "transmix": ["method.mixup_prob=0.5"]}.get(word, [])
    method = build("method", compose("dataset=cifar10", f"method={word}", *more).method)
    found = []
    for kind, extra in ((Update, {}), (Replay, {"recordings": Recordings(Tape())})):
        update = _update(kind, **extra)
        if word in ("mixpro", "transmix", "smmix"):
            torch.manual_seed(0)
            cfg = compose(*PATCHES, "model.heads=2", "model.drop_path=0")
            update.network = build("model", cfg.model, classes=10, channels=3)
        if hasattr(method, "extend"):
            torch.manual_seed(1)
            method.extend(update.network, 10)
        update.forward = update.network
        update.optimizer = torch.optim.SGD(update.network.parameters(), lr=0.1, momentum=0.9, fused=True)
        losses = []
        for _ in range(2):
            losses += _trained(
                update, method.anew() if word == "recursivemix" else method, _batches([8] * 12)
            )
        found.append(losses)
        if kind is Replay:
            assert update.recordings.record.replayed > 8
    assert found[0] == found[1]
