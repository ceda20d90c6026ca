"""Where the time of a training step goes: in words, and as a trace for chrome://tracing or ui.perfetto.dev.

The parts are told apart by what the step calls: the method, the network, the criterion, the optimizer. What
lies between two such calls belongs to the one before, so that the parts add up to the step:
- input: the batch from the loader;
- mixing: augmentation, the method's plan (with a saliency pass, if it makes one), mixed pixels and labels;
- forward: network and loss; backward; update: the optimizer, and clearing gradients.
On a GPU a part ends when its work on the device does, and `gaps` is how long the device waits in a step.

Parts are timed without the profiler, whose own cost would distort them; then a few more steps make the trace.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, record_function

from msda_train.core.course import HALF_WAY
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, Remembers
from msda_train.core.randomness import Rng, generator
from msda_train.training.run import Run
from msda_train.training.step import Step
from msda_train.training.update import Update

NAME = "trace.json"
PARTS = ("input", "mixing", "forward", "backward", "update")
WARM_UP, TIMED, TRACED = 3, 10, 3  # steps; the first ones allocate and, on a GPU, choose kernels
GAPS = "gaps"


@dataclass
class Parts:
    """Which part is running, and when each began. One list of marks for each step."""

    device: torch.device
    marks: list[list[tuple[str, Any]]] = field(default_factory=list)
    _open: Any = None

    def begin(self, part: str) -> None:
        """The part before ends here."""
        self._close()
        self._open = record_function(f"step/{part}")
        self._open.__enter__()
        self.marks[-1].append((part, self._now()))

    def new_step(self) -> None:
        """The first part of a step is its input."""
        self.marks.append([])
        self.begin("input")

    def end_step(self) -> None:
        """The last part of a step ends here."""
        self._close()
        self.marks[-1].append(("", self._now()))

    def milliseconds(self) -> list[dict[str, float]]:
        """For each step: every part, and `step`, from its first mark to its last."""
        return [self._of_step(marks) for marks in self.marks]

    def _of_step(self, marks: list[tuple[str, Any]]) -> dict[str, float]:
        spent = dict.fromkeys(PARTS, 0.0)
        for (part, begun), (_, ended) in pairwise(marks):
            spent[part] += self._between(begun, ended)
        return {**spent, "step": self._between(marks[0][1], marks[-1][1])}

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, begun: Any, ended: Any) -> float:
        if self.device.type != "cuda":
            made: float = 1000 * (ended - begun)
            return made
        return float(begun.elapsed_time(ended))


@dataclass(frozen=True)
class _Method:
    inner: Any
    parts: Parts

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        self.parts.begin("mixing")
        mix: Mix = self.inner.plan(x, y, model, rng)
        return mix


@dataclass(frozen=True)
class _Remembering(_Method):
    def anew(self) -> "_Remembering":
        return replace(self, inner=self.inner.anew())

    def remember(self, x: Tensor, target: Tensor, logits: Tensor) -> None:
        self.inner.remember(x, target, logits)


@dataclass(frozen=True)
class _Optimizer:
    inner: torch.optim.Optimizer
    parts: Parts

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.parts.begin("update")
        self.inner.zero_grad(set_to_none=set_to_none)
        self.parts.begin("mixing")  # the augmentation comes next

    def step(self) -> None:
        self.parts.begin("update")
        self.inner.step()


def marked(step: Step, parts: Parts) -> Step:
    """The same step, whose parts leave marks."""

    def forward(*inputs: Any) -> Tensor:
        parts.begin("forward")
        logits = step.update.forward(*inputs)
        parts.begin("mixing")  # of the labels
        return logits

    def criterion(logits: Tensor, target: Tensor) -> Tensor:
        parts.begin("forward")
        loss = step.update.criterion(logits, target)
        parts.begin("backward")
        return loss

    optimizer: Any = _Optimizer(step.update.optimizer, parts)
    # Never a recording: in a replayed graph there is nothing between forward and backward to mark.
    weighted = step.update.weighted
    update = Update(step.network, forward, criterion, optimizer, step.update.compute, weighted=weighted)
    kind = _Remembering if isinstance(step.method, Remembers) else _Method
    return replace(step, method=kind(step.method, parts), update=update)


def profile(run: Run, step: Step, folder: Path, log: Callable[[str], None]) -> Path:
    """Trains a few steps of `run`, says where their time goes and writes the trace; returns its path.

    The network is trained on by these steps: whoever wants the run itself starts afresh. Raises UserError
    where the trace cannot be written.
    """
    cuda = run.compute.device.type == "cuda"
    batches = _batches(run, step)
    parts = Parts(run.compute.device)
    step.network.train()
    for number in range(WARM_UP + TIMED):
        _one(run, parts, batches, number)
    _finish(run)
    timed = parts.milliseconds()[WARM_UP:]
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    parts = Parts(run.compute.device)
    # Some torch warn where events are not to outlive a cycle; there is one.
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        started = time.perf_counter()
        for number in range(TRACED):
            _one(run, parts, batches, WARM_UP + TIMED + number)
        _finish(run)
        traced = 1000 * (time.perf_counter() - started) / TRACED
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(path))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be written ({error}); type runs=FOLDER") from None
    busy = _busy(profiler) / TRACED if cuda else None
    for line in told(timed, traced, busy):
        log(line)
    log(f"{path}: open it in chrome://tracing or ui.perfetto.dev")
    return path


def told(timed: list[dict[str, float]], traced: float, busy: float | None) -> list[str]:
    """Lines: medians of the parts of `timed` steps in ms and percent; on a GPU how long the device was `busy`
    of a step that took `traced`, both ms with the profiler on."""
    step = float(np.median([spent["step"] for spent in timed]))
    medians = {part: float(np.median([spent[part] for spent in timed])) for part in PARTS}
    if busy is not None:
        medians[GAPS] = max(traced - busy, 0.0)
    lines = [f"a step takes {step:.2f} ms (median of {len(timed)})"]
    for part, ms in medians.items():
        whole = traced if part == GAPS and busy is not None else step
        lines.append(f"{part:9s} {ms:8.2f} ms  {100 * ms / whole:5.1f} %")
    if busy is not None:
        lines.append(f"with the profiler on: {traced:.2f} ms a step, in which the device works {busy:.2f} ms")
    return lines


def _batches(run: Run, step: Step) -> Iterator[tuple[Step, Tensor, Tensor]]:
    """Step and batch after batch, epoch after epoch that mixes; never ends."""
    epochs = range(run.recipe.erm_epochs, run.recipe.epochs)
    return chain.from_iterable(step.over(run.train_loader, e) for _ in repeat(None) for e in epochs)


def _one(run: Run, parts: Parts, batches: Iterator[tuple[Step, Tensor, Tensor]], number: int) -> None:
    parts.new_step()
    step, x, y = next(batches)
    marked(step.at(HALF_WAY), parts)(x, y, generator(run.seed, "mix", 0, number))
    parts.end_step()


def _finish(run: Run) -> None:
    if run.compute.device.type == "cuda":
        torch.cuda.synchronize(run.compute.device)


def _busy(profiler: Any) -> float:
    """Milliseconds in which kernels and copies ran; they follow one another in one stream."""
    return float(sum(event.self_device_time_total for event in profiler.key_averages())) / 1000
