"""What is trained and mixed here: noise of the right shape, through the very objects that real runs use."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.settings import CIFAR_MEAN, CIFAR_STD, Settings
from bench.timing import Work
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.mix import Method
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.data.images import Images
from msda_train.data.loader import Loader
from msda_train.training.device import Compute
from msda_train.training.run import Run
from msda_train.training.step import Step


def noise(n: int, settings: Settings, *, test: int = 1) -> Images:
    """`n` training and `test` test images of noise, with labels."""
    rng = np.random.default_rng(0)
    side, classes = settings.side, settings.classes
    x, x_test = (rng.integers(0, 256, (k, side, side, 3), dtype=np.uint8) for k in (n, test))
    y, y_test = (rng.integers(0, classes, k) for k in (n, test))
    names = tuple(map(str, range(classes)))
    return Images(x, y, x_test, y_test, names, name="noise", content="", complete=False)


def words(settings: Settings, *more: str) -> list[str]:
    """What msda-train would be given: CIFAR-10's facts, this batch size, and `more`."""
    return ["dataset=cifar10", "recipe=short", f"recipe.batch_size={settings.batch}", *more]


def network_words(width: int, *more: str) -> list[str]:
    """The words for PreActResNet-18 of `width` channels in its first group (64 as published), and `more`."""
    return ["model=preactresnet18", f"model.width={width}", *more]


def mixing(name: str, *more: str) -> list[str]:
    """The words for a method that mixes in every step, whatever its own probability is."""
    has_coin = any(line.startswith("prob:") for line in _config(name).splitlines())
    return [f"method={name}", *(["method.prob=1.0"] if has_coin else []), *more]


def _config(name: str) -> str:
    return (CONFIGS / "method" / f"{name}.yaml").read_text(encoding="utf-8")


def method_of(settings: Settings, chosen: Sequence[str]) -> Method:
    """The method that the words `chosen` name, made as a run makes it."""
    made: Method = build("method", compose(*words(settings), *chosen).method)
    return made


def a_run(settings: Settings, chosen: Sequence[str], images: Images, compute: Compute) -> tuple[Run, Any]:
    """A run that trains in memory (its folder is never used), and its config."""
    cfg = compose(*words(settings), *chosen)
    return Run(0, "", build("recipe", cfg.recipe), images, compute, 0.0, CONFIGS), cfg


class Stepping:
    """Training steps of one method on one batch; every call is the next step."""

    def __init__(
        self, settings: Settings, chosen: Sequence[str], compute: Compute, method: Method | None = None
    ):
        run, cfg = a_run(settings, chosen, noise(settings.batch, settings), compute)
        step: Step = run.prepare(cfg.model, method or build("method", cfg.method))
        step.network.train()
        self.step, self.x, self.y = next(step.over(run.train_loader, 0))
        self.numbers = count()

    def __call__(self) -> Tensor:
        return self.step(self.x, self.y, generator(0, "mix", 0, next(self.numbers)))


def a_loader(settings: Settings, images: Images, seed: int | None) -> Loader:
    """Of the training images, as CIFAR is trained on; without a seed they are served as they are."""
    return Loader(
        images.x_train,
        images.y_train,
        batch_size=settings.batch,
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
        device=settings.device,
        crop_padding=4,
        flip=True,
        seed=seed,
    )


def float_batch(settings: Settings, batch: int) -> tuple[Tensor, Tensor]:
    """Normalised images (B, C, H, W) in channels_last memory, as the loader makes them, and labels (B,)."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, settings.side, settings.side, 3, generator=draw).permute(0, 3, 1, 2)
    y = torch.randint(0, settings.classes, (batch,), generator=draw)
    return x.to(settings.device), y.to(settings.device)


def our_mixing(method: Method, x: Tensor, y: Tensor, classes: int) -> Work:
    """What the training step does to a batch x (B, C, H, W), y (B,) before the network sees it: mixed pixels
    and soft labels (B, `classes`). Every call is the next step."""
    numbers = count()

    def mix() -> tuple[Tensor, Tensor]:
        plan = method.plan(x, y, None, generator(0, "mix", 0, next(numbers)))
        return plan.pixels(x), plan.target(y, classes)

    return mix
