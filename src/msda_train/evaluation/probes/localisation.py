"""Weakly supervised localisation: does the class activation map find the object?

A box lies around the largest part of the map above a threshold (Zhou et al., arXiv:1512.04150); it is right
where it and a true box of the image's class overlap by an IoU of 0.5. top1: and the network names the class,
as CutMix's Table 9 counts. known: the class is given. max_box: known at the best of many thresholds,
MaxBoxAcc of Choe et al., CVPR 2020, arXiv:2001.07437, who show that a fixed threshold compares thresholds,
not methods. CutMix takes 0.15 (appendix B): `probes=cutmix_localisation`; 0.2 is Zhou's. Test images that
have no box are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.evaluation.probes.subject import Finding, Subject
from msda_train.functional.localisation import iou, largest_box
from msda_train.models.class_maps import as_heat, class_maps

BATCH = 64


@dataclass(frozen=True)
class Localisation:
    """threshold: of top1 and known, a share of the map's maximum; iou: from which on a box is right;
    thresholds: how many, evenly in [0, 1), max_box tries; images: the first so many test ones; null: all."""

    threshold: float = 0.2
    iou: Sequence[float] = (0.5,)
    thresholds: int = 20
    images: int | None = None

    def __post_init__(self) -> None:
        checks.fraction("probes.localisation.threshold", self.threshold)
        if isinstance(self.iou, str | float | int) or not self.iou:
            raise UserError(f"probes.localisation.iou={self.iou}: must be a list; type [0.5]")
        for each in self.iou:
            checks.fraction("probes.localisation.iou", each)
        checks.whole("probes.localisation.thresholds", self.thresholds, least=1)
        if self.images is not None:
            checks.whole("probes.localisation.images", self.images, least=1)

    def __call__(self, subject: Subject) -> Finding:
        """Keys top1_T_iou_D, known_T_iou_D, max_box_iou_D, fractions of the images; threshold of the last.
        Arrays: thresholds and, of each IoU, the share of right boxes at each."""
        boxes = subject.pictures.boxes_test
        if boxes is None:
            raise UserError("these test images have no boxes; type dataset=cub200 or dataset=tinyimagenet")
        tried = np.linspace(0, 1, self.thresholds, endpoint=False)
        overlaps, right, kind = self._overlaps(subject, boxes, [self.threshold, *tried])
        numbers: dict[str, float] = {"images": float(len(right))}
        arrays = {"thresholds": tried}
        records = []
        for least in self.iou:
            hit = overlaps >= least
            shares = hit[:, 1:].mean(axis=0)
            name = f"iou_{least:g}"
            best = float(tried[shares.argmax()])
            for measure, threshold, share in (
                ("top1", self.threshold, (hit[:, 0] & right).mean()),
                ("known", self.threshold, hit[:, 0].mean()),
                ("max_box", best, shares.max()),
            ):
                key = f"{measure}_{name}" if measure == "max_box" else f"{measure}_{threshold:g}_{name}"
                numbers[key] = float(share)
                records.append({"name": key, "measure": measure, "threshold": threshold, "iou": least})
            arrays[f"right_{name}"] = shares
        said = [f"maps by {kind}", "CutMix takes a threshold of 0.15"]
        return Finding(numbers, arrays, said, records)

    def _overlaps(
        self, subject: Subject, boxes: np.ndarray, thresholds: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """(N, T) best IoU of an image's box at each threshold with its true ones, (N,) whether the class is
        named, and how the maps were made."""
        overlaps, right, kind, start = [], [], "", 0
        total = -(-len(subject.labels("test", self.images)) // BATCH)
        batches = subject.batches("test", self.images, BATCH)
        for pixels, y in subject.progress(batches, total, "class activation maps"):
            made = class_maps(subject.network, subject.normalise(pixels), y)
            heat = as_heat(made.maps, subject.pictures.size).cpu().numpy()
            named = (made.logits.argmax(dim=1) == y).cpu().numpy()
            kind = made.kind
            for each, name, true in zip(heat, named, boxes[start : start + len(y)], strict=True):
                true = true[~np.isnan(true[:, 0])]
                if not len(true):
                    continue
                found = np.array([largest_box(each, threshold) for threshold in thresholds])
                overlaps.append(iou(found[:, None], true[None]).max(axis=1))
                right.append(name)
            start += len(y)
        if not overlaps:
            raise UserError("probes.localisation: none of these test images has a box")
        return np.array(overlaps), np.array(right), kind
