"""Input gradients by distance against loops, and networks whose gradients are known."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.evaluation.probes.gradients import Gradients, fall, magnitudes
from msda_train.evaluation.probes.subject import Subject

HEIGHT, WIDTH = 6, 5


def _subject(network, n=7, channels=3):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, HEIGHT, WIDTH, channels), dtype=np.uint8)
    y = np.arange(n) % 3
    images = Images(x, y, x, y, ("a", "b", "c"), name="noise", content="", complete=False)
    cpu = torch.device("cpu")
    mean, std = [0.4, 0.5, 0.6][:channels], [0.2, 0.3, 0.25][:channels]
    return Subject(network.eval(), images, mean, std, cpu, contextlib.nullcontext, 0, {})


def _linear(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * HEIGHT * WIDTH, 3))


def test_gradient_of_a_linear_network_is_known():
    subject = _subject(_linear())
    x, y = next(subject.batches())
    weight = subject.network[1].weight.detach()
    with torch.no_grad():
        p = subject.network(subject.normalise(x)).softmax(dim=1)
    by_hand = ((p - torch.eye(3)[y]) @ weight).view(-1, 3, HEIGHT, WIDTH).norm(dim=1)
    torch.testing.assert_close(magnitudes(subject, x, y), by_hand.double())
    assert all(p.grad is None for p in subject.network.parameters())


def test_equals_a_loop_over_all_pairs():
    subject = _subject(_linear())
    found = Gradients(images=None)(subject)
    sums, counts = np.zeros(20), np.zeros(20)
    each_sums = np.zeros(20)
    for x, y in subject.batches(batch=1):
        size = magnitudes(subject, x, y)[0].numpy()
        for r in range(HEIGHT):
            for c in range(WIDTH):
                for s in range(HEIGHT):
                    for d in range(WIDTH):
                        distance = int(np.rint(np.sqrt((r - s) ** 2 + (c - d) ** 2)))
                        sums[distance] += size[r, c] * size[s, d]
                        each_sums[distance] += size[r, c] * size[s, d] / size.mean() ** 2
                        counts[distance] += 1
    kept = counts > 0
    np.testing.assert_allclose(found.arrays["value"], sums[kept] / counts[kept])
    np.testing.assert_allclose(found.arrays["each_value"], each_sums[kept] / counts[kept])
    assert found.numbers["test_near_over_far"] == pytest.approx(
        found.arrays["value"][1] / found.arrays["value"][2]
    )
    assert set(found.arrays) >= {"distance", "theory_mixup", "theory_cutmix", "theory_hmix", "theory_gmix"}


def test_even_gradients_do_not_fall_and_a_patch_does():
    network = _linear()
    with torch.no_grad():
        network[1].weight[:] = torch.tensor([1.0, -1.0, 0.5])[:, None]
    even = Gradients()(_subject(network)).numbers
    assert even["test_near_over_far"] == pytest.approx(1)
    assert even["test_log_slope"] == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        weight = network[1].weight.view(3, 3, HEIGHT, WIDTH)
        weight *= 0.01
        weight[:, :, 2:4, 2:4] *= 100
    patch = Gradients(split="train")(_subject(network)).numbers
    assert patch["train_near_over_far"] > 1.5
    assert patch["train_each_log_slope"] < 0


def test_fall_of_an_exponential():
    sizes = fall(np.exp(-0.3 * np.arange(9)), 4)
    assert sizes["log_slope"] == pytest.approx(-0.3)
    assert sizes["near_over_far"] == pytest.approx(np.exp(0.9))


def test_bad_input():
    with pytest.raises(UserError, match=r"probes\.gradients.split"):
        Gradients(split="all")
    with pytest.raises(UserError, match=r"probes\.gradients.images"):
        Gradients(images=0)
    dead = _linear()
    with torch.no_grad():
        dead[1].weight.zero_()
    with pytest.raises(UserError, match="gradients are zero"):
        Gradients()(_subject(dead))
