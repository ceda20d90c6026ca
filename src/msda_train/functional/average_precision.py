"""Average precision of a detector on one class, as Pascal VOC measures it.

Everingham et al., IJCV 2010: from the surest detection on, each is right where it overlaps a true box of its
image by more than half, which nothing before it has found; the best overlapped box counts. Boxes marked as
difficult are neither to be found nor wrong to find. VOC 2007's number is the mean, over the recalls 0, 0.1,
..., 1, of the best precision at that recall or above.
"""

from collections.abc import Mapping

import numpy as np

from msda_train.functional.localisation import iou

RECALLS = np.arange(11) / 10
OVERLAP = 0.5


def average_precision(
    images: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    truth: Mapping[int, tuple[np.ndarray, np.ndarray]],
) -> float:
    """In [0, 1]. images (D,): where each of D detections is; boxes (D, 4) as left, top, right, bottom, half
    open; scores (D,); truth: by image, boxes (N, 4) and whether each is difficult (N,). 0 where nothing is to
    be found."""
    wanted = sum(int((~difficult).sum()) for _, difficult in truth.values())
    if not wanted or not len(scores):
        return 0.0
    found = {image: np.zeros(len(true), dtype=bool) for image, (true, _) in truth.items()}
    right, wrong = np.zeros(len(scores)), np.zeros(len(scores))
    for rank, number in enumerate(np.argsort(-scores, kind="stable")):
        image = int(images[number])
        true, difficult = truth.get(image, (np.empty((0, 4)), np.empty(0, dtype=bool)))
        overlap = iou(boxes[number], true)
        if not len(true) or not overlap.max() > OVERLAP:  # nor is NaN
            wrong[rank] = 1
        elif not difficult[best := int(overlap.argmax())]:
            right[rank], wrong[rank] = not found[image][best], found[image][best]
            found[image][best] = True
    right, wrong = right.cumsum(), wrong.cumsum()
    recall, precision = right / wanted, right / np.maximum(right + wrong, 1)
    # A recall of 0.3 is 3 of 10: rounding must not make it miss its own mark.
    reached = [precision[recall >= mark - 1e-9] for mark in RECALLS]
    return float(np.mean([each.max() if len(each) else 0.0 for each in reached]))
