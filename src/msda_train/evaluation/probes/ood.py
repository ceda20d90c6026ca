"""Out-of-distribution detection by the maximum softmax probability.

Hendrycks and Gimpel, ICLR 2017, arXiv:1610.02136; CutMix's Table 12 (mean over seven sets) and On Mixup
Training's table, without temperature and without input perturbation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from msda_train.evaluation.probes.inference import run_logits
from msda_train.evaluation.probes.out_sets import Noise, Pictures, Pixels
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject
from msda_train.functional.detection import detection_numbers

EDGES = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Ood:
    """sets: a word of your own for each out set, and its node: `Noise`, `Pictures`, or a data set as in
    configs/dataset/, which is resized where need be; null: left out. images: only the first so many of the in
    set and of each out set. notes: remarks to go with the numbers.

    Numbers: NAME/auroc, aupr_in, aupr_out, fpr95, tnr95, detection_accuracy; NAME is made of what the set is
    (gaussian, uniform, svhn, tinyimagenet_crop ...), and mean_of_K where there are several. The in set is
    the positive class, except in aupr_out; both aupr depend on how many images there are of each.
    """

    sets: Mapping[str, Any] = field(
        default_factory=lambda: {"gaussian": Noise(), "uniform": Noise("uniform")}
    )
    images: int | None = None
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

    def __call__(self, subject: Subject) -> Finding:
        """See `Probe`. A set that is not on this machine, or is the run's own, is left out with a remark;
        UserError where none is left."""
        inside = scores(subject.test_logits[: self.images])
        numbers: dict[str, dict[str, float]] = {}
        settings: dict[str, dict[str, Any]] = {}
        limited = {} if self.images is None else {"images": self.images}
        arrays = {"edges": EDGES, "histogram_in": _histogram(inside)}
        remarks = [*self.notes]
        for word, out in self.sets.items():
            try:
                found = out.pixels(subject, self.images, generator(subject.seed, f"probe/ood/{word}"))
            except UserError as error:
                remarks.append(f"{word} left out: {error}")
                continue
            name = found.name if self.images is None else f"{found.name}_n{self.images}"
            if name in numbers:
                raise UserError(f"probes.ood.sets.{word}: {name} is there already; take one of the two away")
            outside = scores(run_logits(subject, _watched(subject, found)))
            numbers[name] = detection_numbers(inside, outside)
            settings[name] = {"set": found.name, **limited}
            arrays[f"histogram_{name}"] = _histogram(outside)
            remarks.append(f"{name}: {found.remark}")
        if not numbers:
            raise UserError(f"probes.ood.sets: none can be used; {remarks[-1]}")
        if len(numbers) > 1:
            mean = f"mean_of_{len(numbers)}" + ("" if self.images is None else f"_n{self.images}")
            remarks.append(f"{mean}: {', '.join(numbers)}")
            settings[mean] = {"sets": len(numbers), **limited}
            rows = [list(of.values()) for of in numbers.values()]
            numbers[mean] = dict(zip(numbers[name], np.mean(rows, axis=0).tolist(), strict=True))
        flat = {f"{name}/{key}": value for name, of in numbers.items() for key, value in of.items()}
        records = [
            {"name": f"{name}/{key}", "measure": key, **settings[name]}
            for name, of in numbers.items()
            for key in of
        ]
        return Finding(flat, arrays, tuple(remarks), records)


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


def _watched(subject: Subject, found: Pixels) -> Iterator[Tensor]:
    return subject.progress(found.batches, -(-found.count // BATCH), f"ood {found.name}")


def _histogram(score: np.ndarray) -> np.ndarray:
    confidence = torch.from_numpy(score).sigmoid().numpy()
    return np.histogram(confidence, EDGES)[0]
