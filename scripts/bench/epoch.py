"""Row 10: a whole epoch, training with mixup and testing, against the reference loop on the same network."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import torch

from bench.reference_loop import pil_batches, reference_error, train_epoch
from bench.settings import Settings
from bench.table import Row, at_least
from bench.timing import Work, interleaved, spread, timer_of
from bench.workload import a_run, mixing, network_words, noise
from msda_train.config.build import build
from msda_train.data.images import Images
from msda_train.training.device import Compute, choose

TEST_SHARE = 5  # one test image for so many training images, as CIFAR has it


class _NoBar:
    """Stands in for the progress bar."""

    def update(self) -> None: ...

    def set_postfix(self, **_: Any) -> None: ...


def rows(settings: Settings) -> Iterator[Row]:
    """Full width in bf16 (where there are units for it) and in float32, and the tiny network in float32."""
    full = network_words(settings.epoch_width)
    tiny = network_words(min(8, settings.epoch_width), "model.blocks=[1,1,1]")
    has_bf16 = choose(str(settings.device), "auto", False, None).precision == "bf16"
    precisions = ["bf16", "fp32"] if has_bf16 else ["fp32"]
    goals = {"bf16": at_least(2.5, 3.0), "fp32": at_least(1.03, 1.08)}
    if not has_bf16:
        note = "this device has no bf16 matrix units"
        yield Row(10, "epoch, full width, bf16, times faster", None, "s", goal=goals["bf16"], note=note)
    seconds = _measured(settings, full, settings.epoch_images, precisions, settings.epoch_rounds)
    for precision in precisions:
        what = f"epoch, width {settings.epoch_width}, {precision}, times faster"
        yield _row(what, seconds, precision, goals[precision])
    seconds = _measured(settings, tiny, settings.tiny_images, ["fp32"], settings.slow_rounds)
    yield _row("epoch, tiny network, fp32, times faster", seconds, "fp32", at_least(1.5, 1.8))


def _measured(
    settings: Settings, words: list[str], n: int, precisions: list[str], rounds: int
) -> dict[str, Any]:
    images = noise(n, settings, test=max(n // TEST_SHARE, 1))
    smaller = replace(settings, batch=min(settings.batch, n))
    cases = {
        name: our_epochs(smaller, words, images, choose(str(settings.device), name, False, None))
        for name in precisions
    }
    cases["reference"] = reference_epochs(smaller, words, images)
    return interleaved(cases, rounds=rounds, timer=timer_of(settings.device))


def our_epochs(settings: Settings, words: list[str], images: Images, compute: Compute) -> Work:
    """Every call is the next epoch of a run with mixup, as msda-train does it."""
    run, cfg = a_run(settings, [*words, *mixing("mixup")], images, compute)
    step = run.prepare(cfg.model, build("method", cfg.method))
    epochs = count()
    # Round and round: the schedule of a run ends.
    return lambda: run.epoch(next(epochs) % run.recipe.epochs, step, _NoBar())


def reference_epochs(settings: Settings, words: list[str], images: Images) -> Work:
    """Every call is the next epoch of the reference loop."""
    compute = choose(str(settings.device), "fp32", False, None)
    run, cfg = a_run(settings, words, images, compute)
    network = build("model", cfg.model, classes=settings.classes, channels=3).to(settings.device)
    r = run.recipe
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=r.lr,
        momentum=r.momentum,
        weight_decay=r.weight_decay,
        nesterov=r.nesterov,
    )
    batch, device = settings.batch, settings.device
    train = pil_batches(images.x_train, images.y_train, batch, train=True, device=device)
    test = pil_batches(images.x_test, images.y_test, batch, train=False, device=device)

    def epoch() -> tuple[float, float]:
        return train_epoch(network, optimizer, train, device), reference_error(network, test, device)

    return epoch


def _row(what: str, seconds: dict[str, Any], name: str, goal: Any) -> Row:
    return Row(
        10,
        what,
        spread(seconds[name]),
        "s",
        "the reference loop",
        spread(seconds["reference"]),
        spread(seconds["reference"] / seconds[name]),
        goal=goal,
        rounds=len(seconds[name]),
    )
