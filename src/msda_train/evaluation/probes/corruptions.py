"""Test error on CIFAR-10-C and CIFAR-100-C: 19 corruptions in five severities (arXiv:1903.12261).

The mean over severities and over the 15 corruptions of the benchmark is what papers print for CIFAR, not
divided by another network's. Puzzle Mix's checkpoint/test_robust.py takes every file of the folder: with the
official archive all 19, `all/error`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from msda_train.config import checks
from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.data.cifar_c import EXTRA, LABELS, SETS, SEVERITIES, STANDARD, Corrupted
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject, to_pixels
from msda_train.functional import metrics

ROOT = "probes.corruptions.root"


@dataclass(frozen=True)
class Corruptions:
    """root: a folder with CIFAR-100-C.tar (of runs on CIFAR-10 CIFAR-10-C.tar) or its unpacked files; None:
    where data are kept, downloaded if need be. images: the first so many of each severity only; None: all."""

    root: str | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None:
            checks.whole("probes.corruptions.images", self.images, least=1)

    def __call__(self, subject: Subject) -> Finding:
        """standard/error: the mean over 15 corruptions and five severities; all/error: over 19; of each
        severity severity_1/error over the 15; of each corruption fog/error over severities. arrays: errors
        (19, 5), in the order of STANDARD and then EXTRA."""
        found = self._open(subject)
        names = (*STANDARD, *EXTRA)
        errors = np.array([self._errors(subject, found, name) for name in names])
        standard = errors[: len(STANDARD)]
        numbers = {"standard/error": standard.mean().item(), "all/error": errors.mean().item()}
        settings: list[dict[str, object]] = [{"corruption": "standard"}, {"corruption": "all"}]
        for severity, error in enumerate(standard.mean(axis=0), 1):
            numbers[f"severity_{severity}/error"] = error.item()
            settings.append({"corruption": "standard", "severity": severity})
        for name, error in zip(names, errors.mean(axis=1), strict=True):
            numbers[f"{name}/error"] = error.item()
            settings.append({"corruption": name})
        records = [
            {"name": name, "measure": "error", **setting}
            for name, setting in zip(numbers, settings, strict=True)
        ]
        few = [f"the first {self.images} images of each severity only"] if self.images else []
        return Finding(numbers, {"errors": errors}, few, records)

    def _open(self, subject: Subject) -> Mapping[str, np.ndarray]:
        name = subject.images.name
        known = SETS.get(name)
        if known is None or subject.pictures.x_test.shape[1:] != (32, 32, 3):
            raise UserError(
                f"needs a run on {' or '.join(SETS)}, with images as they are, and this is {name}"
            )
        if subject.images.holdout:
            raise UserError("these are the test images, which a run with dataset.holdout must not see")
        _check_classes(subject, known)
        root = paths.DATA / known.name if self.root is None else paths.typed_path(ROOT, self.root).absolute()
        return known.open(root, ROOT)

    def _errors(self, subject: Subject, found: Mapping[str, np.ndarray], name: str) -> list[float]:
        """Of one corruption, by severity."""
        n = min(self.images or len(found[LABELS][0]), len(found[LABELS][0]))
        starts = [(level, start) for level in range(SEVERITIES) for start in range(0, n, BATCH)]
        wrong = torch.zeros(SEVERITIES, dtype=torch.int64, device=subject.device)
        with torch.no_grad():
            for level, start in subject.progress(iter(starts), len(starts), name):
                chosen = slice(start, min(start + BATCH, n))
                y = torch.from_numpy(found[LABELS][level, chosen].astype(np.int64)).to(subject.device)
                with subject.autocast():
                    logits = subject.logits(to_pixels(found[name][level, chosen], y.device))
                wrong[level] += metrics.error_count(logits.float(), y)
        errors: list[float] = (wrong.double() / n).tolist()
        return errors


def _check_classes(subject: Subject, known: Corrupted) -> None:
    if len(subject.images.classes) != known.classes:
        raise UserError(
            f"{known.name} has {known.classes} classes, and the run has {len(subject.images.classes)}"
        )
