"""The reference loop is the same training as ours, only written differently."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.reference_loop import pil_batches, reference_error, train_epoch, train_step
from bench.settings import CIFAR_MEAN, CIFAR_STD, Settings
from bench.workload import a_run, network_words, noise
from msda_train.config.build import build
from msda_train.core.mix import Mix
from msda_train.training.device import choose

CPU = torch.device("cpu")
SETTINGS = Settings(batch=8)
WORDS = [*network_words(4, "model.blocks=[1,1]"), "method=erm"]


class Fixed:
    """Mixes with a given lam and partners."""

    def __init__(self, lam, perm):
        self.lam, self.perm = torch.tensor([lam]), perm

    def plan(self, x, y, model, rng):
        return Mix(self.perm, self.lam, self.lam.view(1, 1, 1, 1))


def test_one_step_gives_our_weights():
    images = noise(8, SETTINGS)
    run, cfg = a_run(SETTINGS, WORDS, images, choose("cpu", "fp32", False, None))
    lam, perm = 0.3, torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    step = run.prepare(cfg.model, Fixed(lam, perm))
    reference = build("model", cfg.model, classes=10, channels=3)
    reference.load_state_dict(step.network.state_dict())
    r = run.recipe
    optimizer = torch.optim.SGD(
        reference.parameters(), r.lr, momentum=r.momentum, weight_decay=r.weight_decay, nesterov=r.nesterov
    )
    step.network.train()
    before = [p.clone() for p in reference.parameters()]
    for _ in range(3):  # momentum counts from the second step on
        x, y = next(run.train_loader.train_batches(0))
        ours = step(x, y, np.random.default_rng(0))
        loss, own, other = train_step(reference, optimizer, x.contiguous(), y, lam, perm)
        assert loss == pytest.approx(ours.item(), abs=2e-5)
        assert 0 <= own <= 8
        assert 0 <= other <= 8
    for a, b in zip(step.network.state_dict().values(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
    assert not torch.equal(before[0], next(reference.parameters()))


def test_its_pixels_are_ours():
    images = noise(8, SETTINGS)
    ((x, y),) = pil_batches(images.x_train, images.y_train, 8, train=False, device=CPU)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CIFAR_MEAN, CIFAR_STD))
    pixels = torch.from_numpy(images.x_train).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(x, (pixels - mean) / std)
    assert y.tolist() == images.y_train.tolist()
    assert x.is_contiguous()


def test_training_pixels_are_shifted_or_mirrored_windows():
    x = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    x[:, 16, 16] = 255
    torch.manual_seed(0)
    places = set()
    for _ in range(60):
        for batch, _ in pil_batches(x, np.zeros(4, dtype=int), 4, train=True, device=CPU):
            for image in batch:
                row, column = divmod(int(image[0].argmax()), 32)
                places.add((row, column))
    assert {row for row, _ in places} == set(range(12, 21))
    assert {column for _, column in places} == set(range(11, 21))  # 12 to 20, and mirrored 11 to 19


def test_it_learns():
    """Two classes that a glance tells apart."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the loop draws lam from it, as such loops do)
    y = np.arange(64) % 2
    x = np.where(y[:, None, None, None] == 1, 200, 50).astype(np.uint8)
    x = np.broadcast_to(x, (64, 32, 32, 3)).copy()
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    batches = pil_batches(x, y, 16, train=True, device=CPU)
    first = train_epoch(network, optimizer, batches, CPU)
    for _ in range(5):
        last = train_epoch(network, optimizer, batches, CPU)
    assert last < first
    assert reference_error(network, pil_batches(x, y, 16, train=False, device=CPU), CPU) == 0.0


def test_the_loss_is_that_of_mixed_labels():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y, perm = torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 3, 0])
    with torch.no_grad():
        logits = network(0.25 * x + 0.75 * x[perm])
    hot = F.one_hot(y, 3).float()
    expected = F.cross_entropy(logits, 0.25 * hot + 0.75 * hot[perm]).item()
    loss, own, other = train_step(network, optimizer, x, y, 0.25, perm)
    assert loss == pytest.approx(expected, abs=1e-6)
    guess = logits.argmax(1)
    assert (own, other) == (guess.eq(y).sum().item(), guess.eq(y[perm]).sum().item())
