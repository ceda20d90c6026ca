"""Calibration: reliability, ECE, OE, MCE, Brier score, NLL; with temperature scaling; with MC dropout.

On Mixup Training (arXiv:1905.11001) takes 100 bins by its author's e-mail; Guo et al.'s temperature scaling
(arXiv:1706.04599) takes 15, and 5,000 held-out images of CIFAR. Monte-Carlo dropout (Gal and Ghahramani,
ICML 2016, arXiv:1506.02142): the mean softmax of `samples` passes with dropout on. That the former paper's
dropout of 0.3 is that is not sourced.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.evaluation.probes.inference import pixel_batches, run_logits
from msda_train.evaluation.probes.subject import Finding, Subject
from msda_train.functional import calibration as measures

VALIDATION = 0.1
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
HELD_OUT = 5_000  # as many as Guo et al. take; a run on a small subset leaves far more


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
        checks.fraction("probes.calibration.validation", self.validation)
        if self.validation == 0:
            raise UserError("probes.calibration.validation=0: must be greater than 0; type 0.1")
        if self.mc_dropout is not None:
            checks.fraction("probes.calibration.mc_dropout", self.mc_dropout)
        checks.whole("probes.calibration.samples", self.samples, least=1)

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
        x, labels, remark = self._validation_images(subject)
        batches = pixel_batches(x, subject.device)
        held = run_logits(subject, batches)
        temperature = measures.fit_temperature(held, torch.from_numpy(np.array(labels, dtype=np.int64)))
        share = "" if self.validation == VALIDATION else f"_{self.validation:g}"
        setting = {"scaling": "temperature", "validation": self.validation}
        to.put(f"temperature{share}", temperature, measure="temperature", **setting)
        self._measure(to, f"ts{share}_", measures.log_probabilities(logits / temperature), y, setting)
        to.remarks.append(remark)
        if not measures.COLDEST * 1.01 < temperature < measures.HOTTEST / 1.01:
            to.remarks.append(
                f"the temperature lies at the end of its range ({temperature:.3g}): the network errs on none "
                f"of the images it is fitted on, or on nearly all"
            )

    def _validation_images(self, subject: Subject) -> tuple[np.ndarray, np.ndarray, str]:
        """Images (N, H, W, C) uint8, their true labels (N,), and what a reader must know of them."""
        if subject.held_out is not None:
            x, labels = (part[:HELD_OUT] for part in subject.held_out)
            return x, labels, f"temperature fitted on {len(x)} training images that the run left out"
        images = subject.images
        first = min(round(len(images.x_train) * (1 - self.validation)), len(images.x_train) - 1)
        true = images.y_train if images.y_clean is None else images.y_clean
        seen = (
            f"temperature fitted on {len(true) - first} training images that the network was trained on: T "
            f"is biased low; train with dataset.subset to hold some out"
        )
        return images.x_train[first:], true[first:], seen

    def _mc_dropout(self, to: "_Notes", subject: Subject, logits: Tensor, y: Tensor) -> None:
        if self.mc_dropout is None:
            return
        layers = [module for module in subject.network.modules() if isinstance(module, DROPOUTS)]
        if not layers:
            to.remarks.append(
                "no MC dropout: this network has no dropout layers; train it with model.dropout=0.3"
            )
            return
        total: Tensor | None = None
        with _dropping(layers, self.mc_dropout, subject):
            for _ in subject.progress(iter(range(self.samples)), self.samples, "mc dropout"):
                p = measures.log_probabilities(run_logits(subject, (x for x, _ in subject.batches()))).exp()
                total = p if total is None else total + p
        assert total is not None
        log_p = (total / self.samples).clamp(min=np.finfo(np.float64).tiny).log()
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


@contextmanager
def _dropping(layers: Sequence[nn.Module], p: float, subject: Subject) -> Iterator[None]:
    """Inside, these dropout layers drop with probability `p`, in a way that the run's seed decides; nothing
    else of the network is in training mode. Afterwards all is as it was, torch's generators too."""
    before = [layer.p for layer in layers]
    devices = [subject.device] if subject.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(generator(subject.seed, "probe/calibration").integers(2**62)))
        try:
            for layer in layers:
                layer.p = p  # type: ignore[assignment]  # a float on every dropout layer
                layer.train()
            yield
        finally:
            for layer, old in zip(layers, before, strict=True):
                layer.p = old
                layer.eval()
