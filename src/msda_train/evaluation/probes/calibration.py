"""Calibration: reliability, ECE, OE, MCE, Brier score, NLL; with temperature scaling; with MC dropout.

On Mixup Training (arXiv:1905.11001) takes 100 bins by its author's e-mail; Guo et al.'s temperature scaling
(arXiv:1706.04599) takes 15, and 5,000 held-out images of CIFAR. Monte-Carlo dropout (Gal and Ghahramani,
ICML 2016, arXiv:1506.02142): the mean softmax of `samples` passes with dropout on. That the former paper's
dropout of 0.3 is that is not sourced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.evaluation.probes.confidence import (
    VALIDATION,
    check_options,
    fitted_temperature,
    mc_log_probabilities,
    no_dropout_layers,
)
from msda_train.evaluation.probes.subject import Finding, Subject
from msda_train.functional import calibration as measures


@dataclass(frozen=True)
class Calibration:
    """bins: numbers of equal-width bins. validation: the temperature is fitted on the last so many of the
    training images; on images that the run left out (dataset.subset), where there are any. mc_dropout: drop
    probability at test time; None: no MC dropout.

    Numbers: ece_M, oe_M, mce_M for each M of bins, brier (0 to 2), nll (nats), confidence; `temperature` and
    the same with ts_ after temperature scaling, with mc_pP_nSAMPLES_ under MC dropout.
    """

    bins: Sequence[int] = (15, 100)
    validation: float = VALIDATION
    mc_dropout: float | None = None
    samples: int = 20

    def __post_init__(self) -> None:
        if isinstance(self.bins, str | int) or not self.bins:
            raise UserError(f"probes.calibration.bins={self.bins}: must be a list; type bins=[15,100]")
        for bins in self.bins:
            checks.whole("probes.calibration.bins", bins, least=1)
        check_options("probes.calibration", self.validation, self.mc_dropout, self.samples)

    def __call__(self, subject: Subject) -> Finding:
        """See `Probe`. What needs the network is left out, with a remark, where only stored logits are
        left."""
        logits, y = subject.test_logits, subject.labels()
        if not logits.isfinite().all():
            raise UserError("the test logits are not all finite; the run diverged: train it again")
        finding = _Notes({}, {}, [], [])
        self._measure(finding, "", measures.log_probabilities(logits), y, {"scaling": "none"})
        for part in (self._temperature_scaling, self._mc_dropout):
            try:
                part(finding, subject, logits, y)
            except UserError as error:
                finding.remarks.append(f"left out: {error}")
        return Finding(finding.numbers, finding.arrays, tuple(finding.remarks), finding.records)

    def _measure(
        self, to: "_Notes", prefix: str, log_p: Tensor, y: Tensor, setting: Mapping[str, Any]
    ) -> None:
        to.put(f"{prefix}brier", measures.brier(log_p, y), measure="brier", **setting)
        to.put(f"{prefix}nll", measures.nll(log_p, y), measure="nll", **setting)
        to.put(f"{prefix}confidence", measures.mean_confidence(log_p), measure="confidence", **setting)
        for bins in self.bins:
            found = measures.binned(log_p, y, bins)
            for name in ("ece", "oe", "mce"):
                to.put(f"{prefix}{name}_{bins}", getattr(found, name), measure=name, bins=bins, **setting)
            for name in ("count", "confidence", "accuracy"):
                to.arrays[f"{prefix}{name}_{bins}"] = getattr(found, name).numpy()

    def _temperature_scaling(self, to: "_Notes", subject: Subject, logits: Tensor, y: Tensor) -> None:
        temperature, remarks = fitted_temperature(subject, self.validation)
        share = "" if self.validation == VALIDATION else f"_{self.validation:g}"
        setting = {"scaling": "temperature", "validation": self.validation}
        to.put(f"temperature{share}", temperature, measure="temperature", **setting)
        self._measure(to, f"ts{share}_", measures.log_probabilities(logits / temperature), y, setting)
        to.remarks.extend(remarks)

    def _mc_dropout(self, to: "_Notes", subject: Subject, logits: Tensor, y: Tensor) -> None:
        if self.mc_dropout is None:
            return
        if (remark := no_dropout_layers(subject)) is not None:
            to.remarks.append(remark)
            return
        log_p = mc_log_probabilities(
            subject, lambda: (x for x, _ in subject.batches()), self.mc_dropout, self.samples
        )
        setting = {"scaling": "mc_dropout", "p": self.mc_dropout, "samples": self.samples}
        self._measure(to, f"mc_p{self.mc_dropout:g}_n{self.samples}_", log_p, y, setting)


@dataclass(frozen=True)
class _Notes:
    """What becomes a Finding."""

    numbers: dict[str, float]
    arrays: dict[str, np.ndarray]
    remarks: list[str]
    records: list[dict[str, Any]]

    def put(self, name: str, value: float, **columns: Any) -> None:
        """A number with the columns of its record."""
        self.numbers[name] = value
        self.records.append({"name": name, **columns})
