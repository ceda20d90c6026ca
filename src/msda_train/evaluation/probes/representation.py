"""How flat the hidden representations of the classes are, and what neighbours in them know.

Verma et al., arXiv:1806.05236, in the text: the largest singular value of class features and the sum of the
others (MNIST), and the error of k nearest neighbours on hidden features (CIFAR-10). Which features, how many
images, centred or not, k and the distance are not printed. Ours: features averaged over the image, not
centred; `class_`: of the (n, C) matrix of each class's test features, averaged over classes; `means_`: of the
(K, C) matrix of the classes' means. Singular values grow with the number of images and the features' scale:
compare networks at one `images`, or the share of the largest. Neighbours: each test image takes the majority
label of its k nearest training images; of labels with as many votes the smallest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.evaluation.probes.features import hidden
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject


@dataclass(frozen=True)
class Representation:
    """k: numbers of neighbours; distance: cosine or euclidean; reference: the first so many training images
    are the neighbours, images: the first so many test images are looked at; null: all."""

    k: Sequence[int] = (1, 5, 20)
    distance: str = "cosine"
    reference: int | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.k, str | int) or not self.k:
            raise UserError(f"probes.representation.k={self.k}: must be a list; type [5]")
        for k in self.k:
            checks.whole("probes.representation.k", k, least=1)
        checks.one_of("probes.representation.distance", self.distance, ("cosine", "euclidean"))
        for option in ("reference", "images"):
            if getattr(self, option) is not None:
                checks.whole(f"probes.representation.{option}", getattr(self, option), least=1)

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Finding:
        """Keys stage_S/... and last/... (the classifier's input): class_largest, class_rest, class_share,
        means_largest, means_rest; knn_K_DISTANCE/error. Arrays: all singular values."""
        n_train = len(subject.labels("train", self.reference))
        if max(self.k) > n_train:
            raise UserError(f"probes.representation.k={max(self.k)}: there are {n_train} training images")
        layers = _features(subject, "test", self.images)
        y = subject.labels("test", self.images).to(subject.device)
        numbers: dict[str, float] = {}
        arrays: dict[str, np.ndarray] = {}
        for place, features in enumerate(layers):
            name = "last" if place == len(layers) - 1 else f"stage_{place}"
            of_class, of_means = class_singular_values(features, y, subject.images.n_classes)
            numbers |= {
                f"{name}/class_largest": of_class[0].item(),
                f"{name}/class_rest": of_class[1:].sum().item(),
                f"{name}/class_share": (of_class[0] / of_class.sum().clamp(min=1e-30)).item(),
                f"{name}/means_largest": of_means[0].item(),
                f"{name}/means_rest": of_means[1:].sum().item(),
            }
            arrays |= {f"{name}_class": of_class.cpu().numpy(), f"{name}_means": of_means.cpu().numpy()}
        train = _features(subject, "train", self.reference)[-1]
        labels = subject.labels("train", self.reference).to(subject.device)
        votes = neighbour_labels(train, labels, layers[-1], max(self.k), self.distance)
        for k in self.k:
            predicted = F.one_hot(votes[:, :k], subject.images.n_classes).sum(dim=1).argmax(dim=1)
            numbers[f"knn_{k}_{self.distance}/error"] = (predicted != y).double().mean().item()
        said = ["which features, k and distance the paper took is not printed"]
        return Finding(numbers, arrays, said, [{"name": name, **self._setting(name)} for name in numbers])

    def _setting(self, name: str) -> dict[str, Any]:
        head, _, measure = name.partition("/")
        asked = {f"knn_{k}_{self.distance}": {"k": k, "distance": self.distance} for k in self.k}
        setting: dict[str, Any] = asked.get(head) or {"layer": head}
        return {"measure": measure, **setting}


def _features(subject: Subject, split: str, limit: int | None) -> list[Tensor]:
    """The vectors of all images at every place, (N, C_k) each, on the device."""
    total = -(-len(subject.labels(split, limit)) // BATCH)
    batches = subject.progress(subject.batches(split, limit), total, f"{split} features")
    made = [hidden(subject.network, subject.normalise(x)) for x, _ in batches]
    return [torch.cat(parts) for parts in zip(*made, strict=True)]


def class_singular_values(features: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Singular values, largest first, float64: mean over the classes of those of each class's features, and
    of the class means.

    features (N, C), y (N,). The first has min(n, C) entries, n the size of the largest class; a smaller
    class has zeros for the missing ones. Classes without images are left out.
    """
    groups = [group for k in range(classes) if len(group := features[y == k].double())]
    most = min(max(map(len, groups)), features.shape[1])
    values = [torch.linalg.svdvals(group) for group in groups]
    of_class = torch.stack([F.pad(v, (0, most - len(v))) for v in values]).mean(dim=0)
    return of_class, torch.linalg.svdvals(torch.stack([group.mean(dim=0) for group in groups]))


def neighbour_labels(reference: Tensor, labels: Tensor, queries: Tensor, k: int, distance: str) -> Tensor:
    """(M, k) labels of the k nearest of `reference` (N, C) to each of `queries` (M, C), nearest first."""
    if distance == "cosine":
        reference, queries = F.normalize(reference), F.normalize(queries)
    squares = reference.square().sum(dim=1)
    found = []
    for block in queries.split(1000):
        near = 2 * block @ reference.T - squares  # minus the squared distance, but for what k does not change
        found.append(labels[near.topk(k, dim=1).indices])
    return torch.cat(found)
