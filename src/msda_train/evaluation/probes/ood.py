"""Out-of-distribution detection by the maximum softmax probability.

Hendrycks and Gimpel, ICLR 2017, arXiv:1610.02136; CutMix's Table 12 (mean over seven sets) and On Mixup
Training's table, without temperature and without input perturbation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from msda_train.config import checks
from msda_train.config.build import build
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.dataset import Dataset
from msda_train.evaluation.probes.confidence import (
    VALIDATION,
    check_options,
    fitted_temperature,
    mc_log_probabilities,
    no_dropout_layers,
)
from msda_train.evaluation.probes.inference import run_logits
from msda_train.evaluation.probes.out_sets import Noise, Pictures, Pixels
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject
from msda_train.functional.detection import detection_numbers

EDGES = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Ood:
    """sets: a word of your own for each out set, and its node: `Noise`, `Pictures`, or a data set as in
    configs/dataset/, which is resized where need be; null: left out. images: only the first so many of the in
    set and of each out set. temperature: also after temperature scaling, fitted as `Calibration` fits it, on
    `validation`; mc_dropout: also under MC dropout with this drop probability, the mean softmax of `samples`
    passes. notes: remarks to go with the numbers.

    Numbers: NAME/auroc, aupr_in, aupr_out, fpr95, tnr95, detection_accuracy; NAME is made of what the set is
    (gaussian, uniform, svhn, tinyimagenet_crop ...), and mean_of_K where there are several; with _ts after
    temperature scaling, with _mc_pP_nSAMPLES under MC dropout. The in set is
    the positive class, except in aupr_out; both aupr depend on how many images there are of each.
    """

    sets: Mapping[str, Any] = field(
        default_factory=lambda: {"gaussian": Noise(), "uniform": Noise("uniform")}
    )
    images: int | None = None
    temperature: bool = False
    validation: float = VALIDATION
    mc_dropout: float | None = None
    samples: int = 20
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.sets, Mapping):
            raise UserError("probes.ood.sets: must map a name to each set; see configs/probes/")
        built = {str(name): _built(str(name), node) for name, node in self.sets.items() if node is not None}
        if not built:
            raise UserError("probes.ood.sets: no set; give at least one, or take the probe away: ~probes.ood")
        object.__setattr__(self, "sets", built)
        if self.images is not None:
            checks.whole("probes.ood.images", self.images, least=1)
        checks.flag("probes.ood.temperature", self.temperature)
        check_options("probes.ood", self.validation, self.mc_dropout, self.samples)

    def __call__(self, subject: Subject) -> Finding:
        """See `Probe`. A set that is not on this machine, or is the run's own, is left out with a remark;
        UserError where none is left."""
        _ = subject.pictures  # the out sets are some
        remarks = [*self.notes]
        views = self._views(subject, remarks)
        numbers: dict[str, dict[str, float]] = {}
        settings: dict[str, dict[str, Any]] = {}
        limit = "" if self.images is None else f"_n{self.images}"
        limited = {} if self.images is None else {"images": self.images}
        inside = [view.inside(self.images) for view in views]
        arrays = {"edges": EDGES, "histogram_in": _histogram(inside[0])}
        found: list[str] = []
        for word, out in self.sets.items():
            try:
                pixels = self._pixels(subject, word, out)
            except UserError as error:
                remarks.append(f"{word} left out: {error}")
                continue
            name = pixels.name + limit
            if name in found:
                raise UserError(f"probes.ood.sets.{word}: {name} is there already; take one of the two away")
            found.append(name)
            for view, own in zip(views, inside, strict=True):
                outside = view.outside(
                    partial(self._batches, subject, word, out, watched=view.dropout is None)
                )
                numbers[name + view.suffix] = detection_numbers(own, outside)
                settings[name + view.suffix] = {"set": pixels.name, **limited, **view.setting}
                if not view.suffix:
                    arrays[f"histogram_{name}"] = _histogram(outside)
            remarks.append(f"{name}: {pixels.remark}")
        if not found:
            raise UserError(f"probes.ood.sets: none can be used; {remarks[-1]}")
        if len(found) > 1:
            mean = f"mean_of_{len(found)}{limit}"
            remarks.append(f"{mean}: {', '.join(found)}")
            for view in views:
                rows = [numbers[name + view.suffix] for name in found]
                settings[mean + view.suffix] = {"sets": len(found), **limited, **view.setting}
                numbers[mean + view.suffix] = {key: float(np.mean([r[key] for r in rows])) for key in rows[0]}
        flat = {f"{name}/{key}": value for name, of in numbers.items() for key, value in of.items()}
        records = [
            {"name": f"{name}/{key}", "measure": key, **settings[name]}
            for name, of in numbers.items()
            for key in of
        ]
        return Finding(flat, arrays, tuple(remarks), records)

    def _pixels(self, subject: Subject, word: str, out: Noise | Pictures) -> Pixels:
        """The same images each time."""
        return out.pixels(subject, self.images, generator(subject.seed, f"probe/ood/{word}"))

    def _batches(
        self, subject: Subject, word: str, out: Noise | Pictures, *, watched: bool
    ) -> Iterator[Tensor]:
        found = self._pixels(subject, word, out)
        if not watched:  # passes under dropout have a bar of their own
            return found.batches
        return subject.progress(found.batches, -(-found.count // BATCH), f"ood {found.name}")

    def _views(self, subject: Subject, remarks: list[str]) -> list["_View"]:
        """The network as it is, then, where they are wanted, with a temperature and under MC dropout."""
        views = [_View(subject)]
        if self.temperature:
            temperature, told = fitted_temperature(subject, self.validation)
            share = "" if self.validation == VALIDATION else f"_{self.validation:g}"
            setting = {"scaling": "temperature", "validation": self.validation}
            views.append(_View(subject, f"_ts{share}", setting, temperature))
            remarks.extend(told)
        if self.mc_dropout is not None:
            if (remark := no_dropout_layers(subject)) is not None:
                remarks.append(remark)
            else:
                setting = {"scaling": "mc_dropout", "p": self.mc_dropout, "samples": self.samples}
                suffix = f"_mc_p{self.mc_dropout:g}_n{self.samples}"
                views.append(_View(subject, suffix, setting, dropout=(self.mc_dropout, self.samples)))
        return views


@dataclass(frozen=True, eq=False)
class _View:
    """One way to be confident. suffix: of its numbers' names; setting: columns of their records."""

    subject: Subject
    suffix: str = ""
    setting: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    dropout: tuple[float, int] | None = None

    def inside(self, limit: int | None) -> np.ndarray:
        """Scores of the test images."""
        if self.dropout is None:
            return scores(self.subject.test_logits[:limit] / self.temperature)
        return self.outside(lambda: (x for x, _ in self.subject.batches(limit=limit)))

    def outside(self, batches: Callable[[], Iterator[Tensor]]) -> np.ndarray:
        """Scores of the pixels that `batches` gives, as often as it is asked."""
        if self.dropout is None:
            return scores(run_logits(self.subject, batches()).double() / self.temperature)
        return scores(mc_log_probabilities(self.subject, batches, *self.dropout))


def scores(logits: Tensor) -> np.ndarray:
    """(N,) float64 log(p / (1 - p)) of the largest softmax probability p of logits (N, K).

    It orders images as p does, and still does where p itself is rounded to 1: float32 does that from a lead
    of 17 nats on, and all such images would tie.
    """
    z = logits.double()
    largest, place = z.max(dim=1, keepdim=True)
    rest = z.scatter(1, place, float("-inf")).logsumexp(dim=1)
    return (largest[:, 0] - rest).numpy()


def _built(word: str, node: Any) -> Noise | Pictures:
    where = f"probes.ood.sets.{word}"
    made = build(where, OmegaConf.create(dict(node))) if isinstance(node, Mapping) else node
    if isinstance(made, Dataset):
        made = Pictures(made)
    if not isinstance(made, Noise | Pictures):
        raise UserError(f"{where}: is no set of images; see configs/probes/full.yaml")
    return made


def _histogram(score: np.ndarray) -> np.ndarray:
    confidence = torch.from_numpy(score).sigmoid().numpy()
    return np.histogram(confidence, EDGES)[0]
