"""VOC's average precision: by hand, against a slow loop, and against COCO's program where both agree."""

import contextlib
import io

import numpy as np
import pytest

from msda_train.functional.average_precision import average_precision

EASY = np.array([False])


def square(left, top, side=10):
    return [left, top, left + side, top + side]


def test_by_hand():
    truth = {0: (np.array([square(0, 0)]), EASY), 1: (np.array([square(5, 5)]), EASY)}
    boxes = np.array([square(0, 0), square(50, 50), square(5, 6)], dtype=float)
    scores, images = np.array([0.9, 0.8, 0.7]), np.array([0, 0, 1])
    # Right, wrong, right: precision 1 up to recall 0.5 (six marks), 2/3 beyond (five).
    assert average_precision(images, boxes, scores, truth) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_the_second_finding_of_one_box_is_wrong():
    truth = {0: (np.array([square(0, 0)]), EASY)}
    boxes, images = np.array([square(0, 0), square(1, 0)], dtype=float), np.array([0, 0])
    assert average_precision(images, boxes, np.array([0.5, 0.9]), truth) == 1  # the surer one comes first
    more = {**truth, 1: (np.array([square(0, 0)]), EASY)}
    both = average_precision(images, boxes, np.array([0.5, 0.9]), more)
    assert both == pytest.approx(6 / 11)


def test_difficult_boxes_count_for_nothing():
    true = np.array([square(0, 0), square(30, 30)])
    truth = {0: (true, np.array([False, True]))}
    boxes = np.array([square(30, 30), square(0, 0)], dtype=float)
    assert average_precision(np.array([0, 0]), boxes, np.array([0.9, 0.1]), truth) == 1
    assert average_precision(np.array([0]), boxes[:1], np.array([0.9]), {0: (true[1:], ~EASY)}) == 0


def test_half_an_overlap_is_not_enough():
    truth = {0: (np.array([[0.0, 0, 10, 10]]), EASY)}
    for bottom, found in ((5, 0), (5.1, 1)):
        box = np.array([[0.0, 0, 10, bottom]])
        assert average_precision(np.array([0]), box, np.array([1.0]), truth) == found


def test_a_box_that_is_none_is_wrong():
    truth = {0: (np.array([square(0, 0)]), EASY)}
    box = np.array([[np.nan, 0, 10, 10]])
    assert average_precision(np.array([0]), box, np.array([1.0]), truth) == 0


def test_nothing_found_is_nothing():
    assert average_precision(np.empty(0), np.empty((0, 4)), np.empty(0), {0: (np.ones((1, 4)), EASY)}) == 0


def scene(rng, images=12):
    """Boxes on a coarse grid, so that a detection meets one true box at most; some are found, some not, and
    some detections are of nothing."""
    truth, found = {}, []
    for image in range(images):
        places = rng.permutation(16)[: rng.integers(1, 6)]
        true = np.array([square(20 * (p % 4), 20 * (p // 4)) for p in places], dtype=float)
        truth[image] = (true, np.zeros(len(true), dtype=bool))
        for place in rng.permutation(16)[: rng.integers(0, 9)]:
            shift = rng.integers(0, 5)
            found.append((image, square(20 * (place % 4) + shift, 20 * (place // 4)), rng.random()))
    where, boxes, scores = zip(*found, strict=True)
    return np.array(where), np.array(boxes, dtype=float), np.array(scores), truth


def slow(images, boxes, scores, truth):
    """Everingham's words, one after the other, with fractions of pixels counted out."""

    def meets(a, b):
        cells = {(x, y) for x in range(int(a[0]), int(a[2])) for y in range(int(a[1]), int(a[3]))}
        others = {(x, y) for x in range(int(b[0]), int(b[2])) for y in range(int(b[1]), int(b[3]))}
        return len(cells & others) / len(cells | others)

    wanted, taken, curve, hits = sum(len(true) for true, _ in truth.values()), set(), [], 0
    for rank, number in enumerate(sorted(range(len(scores)), key=lambda k: -scores[k]), 1):
        true = truth[images[number]][0]
        shares = [meets(boxes[number], other) for other in true]
        best = max(range(len(shares)), key=shares.__getitem__)
        if shares[best] > 0.5 and (images[number], best) not in taken:
            taken.add((images[number], best))
            hits += 1
        curve.append((hits, hits / rank))
    marks = [max((p for hits, p in curve if 10 * hits >= tenth * wanted), default=0) for tenth in range(11)]
    return sum(marks) / 11


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_loop_agrees(seed):
    made = scene(np.random.default_rng(seed))
    assert average_precision(*made) == pytest.approx(slow(*made))


def test_coco_s_program_agrees_on_such_scenes():
    """Its recalls set to VOC's eleven, one overlap; it matches otherwise only where boxes crowd."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    images, boxes, scores, truth = scene(np.random.default_rng(7), images=30)

    def wide(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    told = [(image, box) for image, (true, _) in truth.items() for box in true]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = coco.COCO()
        theirs.dataset = {
            "images": [{"id": image} for image in truth],
            "categories": [{"id": 1}],
            "annotations": [
                {"id": k, "image_id": image, "category_id": 1, "bbox": wide(box), "area": 100.0, "iscrowd": 0}
                for k, (image, box) in enumerate(told, 1)
            ],
        }
        theirs.createIndex()
        ours = theirs.loadRes(
            [
                {"image_id": int(image), "category_id": 1, "bbox": wide(box), "score": float(score)}
                for image, box, score in zip(images, boxes, scores, strict=True)
            ]
        )
        asked = evaluation.COCOeval(theirs, ours, "bbox")
        asked.params.recThrs, asked.params.iouThrs = np.arange(11) / 10, np.array([0.5 + 1e-9])
        asked.evaluate()
        asked.accumulate()
    found = asked.eval["precision"][0, :, 0, 0, -1].mean()
    assert average_precision(images, boxes, scores, truth) == pytest.approx(found)
