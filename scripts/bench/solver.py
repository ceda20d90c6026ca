"""Row 11: Puzzle Mix's mask and transport for a batch, at every number of blocks, and how near the masks come
to the least energy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.settings import CIFAR_STD, Settings
from bench.table import Row, at_most
from bench.timing import Spread, Work, interleaved, spread, timer_of
from bench.workload import method_of, network_words, words
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.randomness import generator
from msda_train.functional.masks import low_frequency_images
from msda_train.methods._input_gradient import channel_norm, input_gradient
from msda_train.methods.puzzlemix.batched import solve_batched
from msda_train.methods.puzzlemix.energy import energy, grid_share, puzzle_terms
from msda_train.methods.puzzlemix.exact import solve_exact
from msda_train.methods.puzzlemix.method import PuzzleMix

NETWORK_WIDTH = 8  # of the untrained network whose gradients are the saliency
LAM = 0.4
MILLI = 1e3


def rows(settings: Settings) -> Iterator[Row]:
    """One row per number of blocks, their mean, and the energies."""
    x, gradient = _inputs(settings)
    cases = {n: _mask_and_transport(settings, n, x, gradient) for n in settings.blocks}
    seconds = interleaved(
        {f"{n} blocks": work for n, work in cases.items()},
        rounds=settings.rounds,
        timer=timer_of(settings.device),
    )
    for name, times in seconds.items():
        yield _row(settings, f"Puzzle Mix, mask and transport, {name}", spread(times * MILLI), None)
    mean = np.mean(list(seconds.values()), axis=0)
    goal = at_most(30, 10)
    yield _row(settings, "Puzzle Mix, mask and transport, mean", spread(mean * MILLI), goal)
    for n in settings.blocks:
        above = _energy_above_least(settings, n, x, gradient)
        value = Spread(above, above, above)
        what = f"Puzzle Mix, energy above the least, {n} blocks"
        note = "sum over the batch, against minimum cuts"
        yield Row(11, what, value, "%", judged=value, judged_unit="%", rounds=1, note=note)


def _row(settings: Settings, what: str, measured: Spread, goal: Any) -> Row:
    rounds = settings.rounds
    return Row(11, what, measured, "ms", judged=measured, judged_unit="ms", goal=goal, rounds=rounds)


def _inputs(settings: Settings) -> tuple[Tensor, Tensor]:
    """Smooth random images (B, 3, H, W), in channels_last memory, and the input gradient at them."""
    side, n = settings.side, settings.batch
    rng = generator(0, "bench")
    images = low_frequency_images(rng, 3 * n, side, side, 1.5, "paper").reshape(n, 3, side, side)
    x = torch.from_numpy((images / images.std()).astype(np.float32)).to(settings.device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(rng.integers(0, settings.classes, n)).to(settings.device)
    torch.manual_seed(0)
    model = compose(*words(settings), *network_words(NETWORK_WIDTH)).model
    network = build("model", model, classes=settings.classes, channels=3)
    return x, input_gradient(x, y, network.to(settings.device))


def _method(settings: Settings, n: int) -> PuzzleMix:
    made = method_of(settings, ["method=puzzlemix", f"method.blocks=[{n}]"])
    assert isinstance(made, PuzzleMix)
    return made


def _mask_and_transport(settings: Settings, n: int, x: Tensor, gradient: Tensor) -> Work:
    """All that Puzzle Mix does between the gradient and the mixing, for another permutation in each call."""
    method, rng = _method(settings, n), generator(0, "mix")

    def work() -> object:
        perm = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        return method.cut(x, rng.beta(1.0, 1.0, 1), perm, lambda _: gradient, rng)

    return work


def _energy_above_least(settings: Settings, n: int, x: Tensor, gradient: Tensor) -> float:
    """Percent."""
    method, rng = _method(settings, n), generator(0, "mix")
    perm = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    std = torch.tensor(CIFAR_STD, device=x.device).view(1, 3, 1, 1)
    share = grid_share(channel_norm(gradient), n)
    terms = puzzle_terms(share, x, std, perm, np.array([LAM]), method)
    ours, least = (float(energy(terms, solve(terms)).sum()) for solve in (solve_batched, solve_exact))
    return 100 * (ours / least - 1)
