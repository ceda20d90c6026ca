"""Rows 7 to 9 and the cost of every method: whole training steps over the step without mixing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from bench.roofline import matrix_rate, operations
from bench.settings import Settings
from bench.table import Goal, Reach, Row, at_most
from bench.timing import interleaved, spread, timer_of
from bench.workload import Stepping, mixing, network_words
from msda_train.config.groups import words_of
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng
from msda_train.methods._input_gradient import input_gradient
from msda_train.training.device import choose

MILLI = 1e3
SLOW = 4.0  # a step that takes so many times ERM's is measured in fewer rounds
CACHED = "attentive_cutmix, cached"
ON_PATCHES = ("mixpro", "smmix", "tokenmix", "transmix")  # they look at a class token
_SMALL = "a small DeiT-S, over ERM's step with that"
NOTES = {
    "attentive_cutmix": "its teacher is a resnet18 with random weights: the same work, another attention",
    CACHED: "method.cached=true; without the one pass that its teacher makes before training",
    **dict.fromkeys(ON_PATCHES, _SMALL),
    "tokenmix": f"method.activation=attention; {_SMALL}",
}
GOALS: Mapping[str, Goal] = {
    **dict.fromkeys(("mixup", "cutmix", "hmix", "gmix"), at_most(1.03, 1.01)),
    "manifold_mixup": at_most(1.10, 1.05),
}


@dataclass(frozen=True)
class SaliencyOnly:
    """Looks at the input gradient, as Puzzle Mix does, and then mixes nothing."""

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `msda_train.core.mix.Method`."""
        input_gradient(x, y, model)
        return Mix.identity(x)


def step_rows(settings: Settings) -> Iterator[Row]:
    """Rows 7 (pixels), 8 (features) and 9 (saliency)."""
    compute = choose(str(settings.device), "auto", False, None)
    words = network_words(settings.width)
    steps = {"erm": Stepping(settings, [*words, "method=erm"], compute)}
    for name in GOALS:
        steps[name] = Stepping(settings, [*words, *mixing(name)], compute)
    steps["input gradient"] = Stepping(settings, [*words, "method=erm"], compute, SaliencyOnly())
    flops = operations(steps["erm"])
    seconds = interleaved(steps, rounds=settings.step_rounds, timer=timer_of(settings.device))
    limit = matrix_rate(settings.device, compute.precision)
    for name in (*GOALS, "input gradient"):
        ours = spread(seconds[name])
        rate = flops / ours.median
        yield Row(
            9 if name not in GOALS else 8 if name == "manifold_mixup" else 7,
            f"training step, {name}" if name in GOALS else "training step with saliency, no solver",
            spread(seconds[name] * MILLI),
            "ms",
            "ERM's step",
            spread(seconds["erm"] * MILLI),
            spread(seconds[name] / seconds["erm"]),
            goal=GOALS.get(name, at_most(1.80, 1.68)),
            rounds=settings.step_rounds,
            reach=Reach(rate / 1e12, "TFLOP/s", rate / limit) if name in GOALS else None,
        )


def step_costs(settings: Settings, chosen: Sequence[str] | None = None) -> Iterator[dict[str, object]]:
    """One record for each method in configs/method, one also CACHED (or of `chosen`): its step over ERM's."""
    names = chosen or sorted([*words_of("method"), CACHED])
    with TemporaryDirectory() as folder:
        words = {name: _words(name, Path(folder)) for name in names}
        on_patches = {name: words.pop(name) for name in names if name in ON_PATCHES}
        yield from _costs(settings, network_words(settings.cost_width), words)
        if on_patches:
            yield from _costs(settings, _transformer(settings.cost_width), on_patches)


def _transformer(width: int) -> list[str]:
    """Eight times eight patches; as wide for its depth as DeiT-S where `width` is 64."""
    sizes = [f"model.width={6 * width}", "model.heads=6", "model.depth=4"]
    return ["model=deit_s", *sizes, "model.size=[32,32]", "model.patch=4"]


def _words(name: str, folder: Path) -> list[str]:
    if name == "tokenmix":
        return mixing(name, "method.activation=attention")
    if name not in ("attentive_cutmix", CACHED):
        return mixing(name)
    from torchvision.models import resnet18

    file = folder / "resnet18.pt"
    torch.save(resnet18().state_dict(), file)
    taught = ["method.teacher=resnet18", f"method.weights={file}"]
    return mixing("attentive_cutmix", *taught, f"method.cached={name == CACHED}")


def _costs(
    settings: Settings, network: list[str], words: Mapping[str, list[str]]
) -> Iterator[dict[str, object]]:
    compute, timer = choose(str(settings.device), "auto", False, None), timer_of(settings.device)
    facts = dict(word.removeprefix("model.").split("=") for word in network)
    made = {"model": facts["model"], "width": facts["width"], "batch": settings.batch}
    steps: dict[str, Stepping] = {"erm": Stepping(settings, [*network, "method=erm"], compute)}
    failed: dict[str, str] = {}
    for name in words:
        if name != "erm":
            try:
                steps[name] = Stepping(settings, [*network, *words[name]], compute)
            except UserError as error:  # something this machine lacks: the others are measured
                failed[name] = str(error)
    once = interleaved(steps, rounds=1, timer=timer)
    slow = [name for name in steps if float(once[name][0]) > SLOW * float(once["erm"][0])]
    fast = {name: step for name, step in steps.items() if name not in slow}
    seconds = {name: (times, "erm") for name, times in _turns(fast, settings.cost_rounds, timer).items()}
    if slow:
        slowly = {"erm": steps["erm"], **{name: steps[name] for name in slow}}
        again = _turns(slowly, settings.slow_rounds, timer)
        seconds |= {name: (again[name], "slow erm") for name in slow}
        seconds["slow erm"] = (again["erm"], "slow erm")
    for name in words:
        if name in failed:
            yield _record(made, name, note=failed[name])
            continue
        times, base = seconds[name]
        erm = seconds[base][0]
        ratio, own = spread(times / erm), spread(times * MILLI)
        yield _record(
            made,
            name,
            ratio=ratio.median,
            low=ratio.low,
            high=ratio.high,
            ms=own.median,
            erm_ms=spread(erm * MILLI).median,
            rounds=len(times),
            note=NOTES.get(name, ""),
        )


def _turns(steps: Mapping[str, Stepping], rounds: int, timer: Any) -> dict[str, Any]:
    return interleaved(steps, rounds=rounds, timer=timer)


def _record(made: Mapping[str, object], name: str, **measured: object) -> dict[str, object]:
    columns = ("ratio", "low", "high", "ms", "erm_ms", "rounds", "note")
    return {"method": name, **{column: measured.get(column, "") for column in columns}, **made}
