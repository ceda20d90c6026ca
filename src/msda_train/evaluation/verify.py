"""Is a row what its checkpoint says? Network rebuilt, weights loaded, test set evaluated again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from msda_train.core.errors import UserError
from msda_train.evaluation.finished_run import open_run
from msda_train.records.rows import Row
from msda_train.records.summary import METRICS, summarise
from msda_train.training.device import Compute
from msda_train.training.step import evaluate

# Another device, torch or number of threads adds up in another order: images at a decision boundary may
# change sides. Shares of the test set for errors (at least one image) and of 1 + NLL for the NLL (nats).
TOLERANCE = {"fp32": (0.001, 0.001), "bf16": (0.005, 0.01)}


@dataclass(frozen=True)
class Check:
    """One number: as stored, as found now, and how far apart they may lie (0: not at all)."""

    name: str
    stored: float
    again: float
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether the two lie within the tolerance."""
        return abs(self.again - self.stored) <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """`checks`: the last epoch evaluated again, and the row's other aggregates and history against those of
    the checkpoint. `exact`: same chip, precision, threads and torch, so bits are compared."""

    row: Row
    checks: tuple[Check, ...]
    device_name: str
    precision: str
    exact: bool

    @property
    def equal(self) -> bool:
        """Whether every check is."""
        return all(check.equal for check in self.checks)


def verify(place: Path, *, device: str | None = None, trust: bool = False) -> Verification:
    """Checks the run at `place`, a run folder or its row.json. `trust` builds whatever classes it names.

    Raises UserError where there is nothing to compare: no row, no checkpoint, a damaged one, other data.
    """
    opened = open_run(place, device=device, trust=trust)
    row, run, compute = opened.row, opened.run, opened.run.compute
    measured = evaluate(opened.network, run.test_loader.test_batches(), compute)
    exact = _is_exact(row, compute)
    checks = _evaluated(row, measured, compute.precision, run.images.n_test, exact=exact)
    checks += _remembered(row, opened.row.path, opened.history)
    return Verification(row, tuple(checks), compute.name, compute.precision, exact)


def _is_exact(row: Row, compute: Compute) -> bool:
    """CUDA kernels may be chosen anew in each process, so there bits are never promised."""
    there = row.environment
    now = ("cpu", compute.name, compute.precision, torch.get_num_threads(), torch.__version__, False)
    keys = ("device", "device_name", "precision", "threads", "torch", "compile")
    return compute.device.type == "cpu" and tuple(there.get(key) for key in keys) == now


def _evaluated(
    row: Row, measured: Mapping[str, float], precision: str, images: int, *, exact: bool
) -> list[Check]:
    low = "bf16" in (precision, row.environment.get("precision"))
    fraction, nats = TOLERANCE["bf16" if low else "fp32"]
    checks = []
    for metric in METRICS:
        stored = row.metrics[f"{metric}/last"]
        room = nats * (1 + abs(stored)) if metric == "nll" else max(fraction, 1 / images) + 1e-12
        checks.append(Check(f"{metric}/last", stored, measured[metric], 0.0 if exact else room))
    return checks


def _remembered(row: Row, path: Path, history: list[dict[str, float]]) -> list[Check]:
    """The row's aggregates and history against what the checkpoint remembers of all epochs: bit for bit."""
    try:
        summary = summarise(history)
        stored = json.loads(path.read_text(encoding="utf-8"))["history"]
        different = sum(a != b for a, b in zip(stored, history, strict=False)) + abs(
            len(stored) - len(history)
        )
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: its history, or the checkpoint's, is not one of msda-train") from None
    checks = [
        Check(f"{name}, of the checkpoint", row.metrics[name], value, 0.0) for name, value in summary.items()
    ]
    return [*checks, Check("epochs of the history that differ", 0, different, 0.0)]
