"""Between two images: how often the network sees neither, and how steep its loss is there.

Zhang et al., ICLR 2018, arXiv:1710.09412, their figure of random convex combinations of training images: a
prediction counts as an error where it is the label of neither image; beside it the norm of a gradient with
respect to the input. They print neither the number of pairs nor which gradient; ours is of the cross-entropy
with the mixed label, with respect to the normalised image, its L2 norm. CutMix's appendix (arXiv:1905.04899)
does the same with pasted boxes, 50,000 pairs; where its boxes lay is not known to us: `box`.
Pairs are two different images of one split, drawn evenly, as stored (neither cropped nor flipped).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.evaluation.probes.features import hidden
from msda_train.evaluation.probes.subject import Finding, Subject, to_pixels
from msda_train.functional.masks import box_mask, kept_share

BATCH = 250  # pairs; one batch goes through the network at every lam
SHOWN = 200  # images of a class in the picture of features


@dataclass(frozen=True)
class InBetween:
    """points: values of lam from 0 to 1, odd so that 0.5 is one of them; pairs: of images, in each split;
    splits: train, test; blends: mixup, cutmix (lam is the share outside the box, in whole pixels);
    box: random (anywhere inside the image) or centre;
    pca: two class numbers whose test images, and mixup blends of them, are shown in the plane of the two
    main directions of the classifier's input (fitted on the unmixed ones); null: none."""

    points: int = 11
    pairs: int = 2000
    splits: Sequence[str] = ("train", "test")
    blends: Sequence[str] = ("mixup", "cutmix")
    box: str = "random"
    pca: Sequence[int] | None = None

    def __post_init__(self) -> None:
        checks.whole("probes.in_between.points", self.points, least=3)
        if self.points % 2 == 0:
            raise UserError(f"probes.in_between.points={self.points}: must be odd; type {self.points + 1}")
        checks.whole("probes.in_between.pairs", self.pairs, least=1)
        checks.one_of("probes.in_between.box", self.box, ("random", "centre"))
        for option, known in (("splits", ("train", "test")), ("blends", ("mixup", "cutmix"))):
            words = getattr(self, option)
            if isinstance(words, str) or not words:
                raise UserError(f"probes.in_between.{option}={words}: must be a list; type [{known[0]}]")
            for word in words:
                checks.one_of(f"probes.in_between.{option}", word, known)
        if self.pca is not None and (isinstance(self.pca, str | int) or len(set(self.pca)) != 2):
            raise UserError(f"probes.in_between.pca={self.pca}: must be two classes; type [0,1]")

    def __call__(self, subject: Subject) -> Finding:
        """Keys SPLIT_BLEND/..., such as train_mixup/ or test_cutmix_centre/: error_half and gradient_half (at
        lam 0.5), and with the number of points the means over lam and the largest gradient norm. Arrays: the
        curves, `pca` and its `pca_lam`."""
        arrays = {"lam": np.linspace(0, 1, self.points)}
        numbers: dict[str, float] = {}
        records: list[dict[str, Any]] = []
        for split in self.splits:
            for blend in self.blends:
                error, gradient = self._curves(subject, split, blend)
                name, half = f"{split}_{blend}", self.points // 2
                if (blend, self.box) == ("cutmix", "centre"):
                    name += "_centre"
                arrays |= {f"{name}_error": error, f"{name}_gradient": gradient}
                numbers |= {
                    f"{name}/error_half": error[half],
                    f"{name}/error_mean_{self.points}": error.mean(),
                    f"{name}/gradient_half": gradient[half],
                    f"{name}/gradient_mean_{self.points}": gradient.mean(),
                    f"{name}/gradient_max_{self.points}": gradient.max(),
                }
                records += self._records(name, split, blend)
        if self.pca is not None:
            arrays |= _plane(subject, *self.pca)
        remarks = ["error: the prediction is neither image's label; which gradient is ours to choose"]
        return Finding({key: float(value) for key, value in numbers.items()}, arrays, remarks, records)

    def _records(self, name: str, split: str, blend: str) -> list[dict[str, Any]]:
        setting = {"split": split, "blend": blend} | ({"box": self.box} if blend == "cutmix" else {})
        asked = [("error", "half"), ("error", "mean")]
        asked += [("gradient", aggregate) for aggregate in ("half", "mean", "max")]
        found = []
        for measure, aggregate in asked:
            points = {} if aggregate == "half" else {"points": self.points}
            word = "_".join([measure, aggregate, *map(str, points.values())])
            columns = {"measure": measure, "aggregate": aggregate, **points, **setting}
            found.append({"name": f"{name}/{word}", **columns})
        return found

    def _curves(self, subject: Subject, split: str, blend: str) -> tuple[np.ndarray, np.ndarray]:
        """Error and mean gradient norm at every lam, (points,) float64 each."""
        sums = torch.zeros(2, self.points, dtype=torch.float64, device=subject.device)
        total = -(-self.pairs // BATCH)
        for a, b, y_a, y_b, place in subject.progress(self._pairs(subject, split), total, f"{split} {blend}"):
            for point, lam in enumerate(np.linspace(0, 1, self.points)):
                mask, weight = self._mask(blend, float(lam), place, a)
                x = subject.normalise(mask * a + (1 - mask) * b)
                wrong, norm = _miss_and_slope(subject, x, y_a, y_b, weight)
                sums[:, point] += torch.stack([wrong.sum().double(), norm.double().sum()])
        error, gradient = (sums / self.pairs).cpu().numpy()
        return error, gradient

    def _pairs(
        self, subject: Subject, split: str
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, np.ndarray]]:
        """Pixels and labels of both images, and where in the image a box lies, (B, 2) in [0, 1]."""
        images, labels = getattr(subject.pictures, f"x_{split}"), getattr(subject.images, f"y_{split}")
        if len(images) < 2:
            raise UserError(f"probes.in_between.splits: {split} has {len(images)} image, a pair needs two")
        rng = generator(subject.seed, f"probe/in_between/{split}")
        first = rng.integers(0, len(images), self.pairs)
        other = (first + rng.integers(1, len(images), self.pairs)) % len(images)
        place = rng.random((self.pairs, 2)) if self.box == "random" else np.full((self.pairs, 2), 0.5)
        for start in range(0, self.pairs, BATCH):
            i, j = first[start : start + BATCH], other[start : start + BATCH]
            y_i, y_j = (torch.from_numpy(np.array(labels[k])).to(subject.device) for k in (i, j))
            a, b = (to_pixels(images[k], subject.device) for k in (i, j))
            yield a, b, y_i, y_j, place[start : start + BATCH]

    def _mask(self, blend: str, lam: float, place: np.ndarray, x: Tensor) -> tuple[Tensor, float]:
        """Pixel weight of the first image, and its share of the label."""
        if blend == "mixup":
            return torch.full((1, 1, 1, 1), lam, device=x.device), lam
        height, width = x.shape[-2:]
        edges = inner_box(lam, place, height, width)
        return box_mask(edges, height, width, x.device), float(kept_share(edges[:1], height, width)[0])


def inner_box(lam: float, place: np.ndarray, height: int, width: int) -> np.ndarray:
    """Edges (n, 4) int64, as `masks.centred_box`, of boxes of about 1 - lam of the image that lie wholly
    inside it, so that all have one share; place (n, 2) in [0, 1]: 0 at the top or left, 1 at the other
    side."""
    edges = []
    for side, where in ((height, place[:, 0]), (width, place[:, 1])):
        extent = round(side * (1 - lam) ** 0.5)
        first = np.minimum((where * (side - extent + 1)).astype(np.int64), side - extent)
        edges += [first, first + extent]
    return np.stack(edges, axis=1)


def _miss_and_slope(
    subject: Subject, x: Tensor, y_a: Tensor, y_b: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Whether the prediction is neither label, and the norm of the input gradient; both (B,)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = subject.network(x).float()
        loss = weight * F.cross_entropy(logits, y_a, reduction="sum")
        loss = loss + (1 - weight) * F.cross_entropy(logits, y_b, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)  # in evaluation mode one image's loss knows no other image
    predicted = logits.detach().argmax(dim=1)
    return (predicted != y_a) & (predicted != y_b), slope.flatten(1).norm(dim=1)


@torch.no_grad()
def _plane(subject: Subject, first: int, second: int) -> dict[str, np.ndarray]:
    """pca (n, 2) float32, and pca_lam (n,): 1 for images of the first class, 0 for the second, between them
    for blends."""
    labels = np.asarray(subject.images.y_test)
    places = [np.flatnonzero(labels == k)[:SHOWN] for k in (first, second)]
    n = min(map(len, places))
    if n < 2:
        raise UserError(f"probes.in_between.pca=[{first},{second}]: a class with fewer than two test images")
    a, b = (to_pixels(subject.images.x_test[p[:n]], subject.device) for p in places)
    lam = generator(subject.seed, "probe/in_between/pca").random(n).astype(np.float32)
    weight = torch.from_numpy(lam).to(subject.device)[:, None, None, None]
    vectors = [
        hidden(subject.network, subject.normalise(x))[-1] for x in (a, b, weight * a + (1 - weight) * b)
    ]
    plain = torch.cat(vectors[:2]).double()
    centre = plain.mean(dim=0)
    axes = torch.linalg.svd(plain - centre, full_matrices=False).Vh[:2]
    shown = (torch.cat(vectors).double() - centre) @ axes.T
    of = np.concatenate([np.ones(n), np.zeros(n), lam]).astype(np.float32)
    return {"pca": shown.float().cpu().numpy(), "pca_lam": of}
