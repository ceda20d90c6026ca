"""The checks that every source must pass: one line that says what is wrong and what to give."""

import numpy as np
import pytest

from msda_train.core.errors import UserError
from msda_train.data.examples import check_classes
from msda_train.data.images import check_arrays

X = np.zeros((4, 5, 6, 3), dtype=np.uint8)
Y = np.array([0, 1, 2, 0])


def _arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return {"x_train": X, "y_train": Y, "x_test": X[:2], "y_test": Y[:2]} | changes


def test_good_arrays_become_one_form() -> None:
    arrays = check_arrays("here", _arrays(y_train=Y.astype(np.uint8)[:, None], y_test=Y[:2].astype(np.int32)))
    assert arrays.y_train.dtype == arrays.y_test.dtype == np.int64
    assert arrays.y_train.shape == (4,)
    assert arrays.classes == ("0", "1", "2")


def test_grey_images_get_a_channel() -> None:
    arrays = check_arrays("here", _arrays(x_train=X[..., 0], x_test=X[:2, ..., 0]))
    assert arrays.x_train.shape == (4, 5, 6, 1)


def test_a_named_set_may_lack_classes_but_not_have_more() -> None:
    assert len(check_arrays("here", _arrays(), official_classes=10).classes) == 10
    with pytest.raises(UserError, match=r"here: 3 classes, but .* has 2; .*dataset=own dataset.name=NAME"):
        check_arrays("here", _arrays(), official_classes=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": X.astype(np.float32)}, "x_train is float32; give pixels 0..255 as uint8"),
        ({"x_test": X[:2, 0, 0, 0]}, r"x_test has shape \(2,\); give \(N, H, W, 3\)"),
        ({"x_train": X[..., :2]}, r"x_train has shape \(4, 5, 6, 2\); give"),
        ({"x_train": X.transpose(0, 3, 1, 2)}, r"transpose\(0, 2, 3, 1\)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "no images in x_train"),
        ({"y_train": Y[:3]}, "4 images in x_train but 3 labels in y_train"),
        ({"y_train": Y.astype(float)}, "y_train is float64; give integer labels"),
        ({"y_train": np.eye(4, dtype=int)}, r"y_train has shape \(4, 4\); give one integer label per image"),
        ({"y_test": np.array([0, -1])}, "y_test has the label -1"),
        ({"x_test": X[:2, :4]}, "train images are 5x6x3 but test images are 4x6x3"),
        ({"x_test": X[:2, ..., :1]}, "train images are 5x6x3 but test images are 5x6x1"),
        ({"y_train": Y * 0, "y_test": Y[:2] * 0}, "one class only"),
    ],
)
def test_bad_arrays(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=f"^here: .*{message}") as caught:
        check_arrays("here", _arrays(**changes))
    assert "\n" not in str(caught.value)


def test_missing_array_and_label_beyond_the_names() -> None:
    arrays = _arrays()
    del arrays["y_test"]
    with pytest.raises(
        UserError, match=r"here: no array 'y_test' .* must hold x_train, y_train, x_test, y_test"
    ):
        check_arrays("here", arrays)
    with pytest.raises(UserError, match=r"label 2, but there are 2 class names; labels must be 0\.\.1"):
        check_arrays("here", _arrays(), classes=["a", "b"])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2, 255], "label 255, but no image of class 3; .* If 255 means none, leave those images out"),
        ([0, 1, 2, 3_000_000], "label 3000000, but no image of class 3"),
        (np.array([0, 1, 2, -1]).astype(np.uint32), "label 4294967295, but no image of class 3"),
        (np.array([0, 1, 2, 2**64 - 1], dtype=np.uint64), "label 18446744073709551615"),
        ([1, 2, 1, 2], "label 2, but no image of class 0"),
    ],
)
def test_a_stray_label_makes_no_classes(y: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_arrays("here", _arrays(y_train=np.array(y), y_test=np.array([1, 2])))
    assert "\n" not in str(caught.value)


def test_a_class_without_an_image_to_train_or_to_test_on_is_told() -> None:
    arrays = check_arrays("here", _arrays(), classes=["a", "b", "c"])
    with pytest.raises(
        UserError, match=r"here: 1 of 3 classes have no test example \('c'\); .*empty_classes=true"
    ):
        check_classes("here", arrays)
    few = check_arrays("here", _arrays(y_train=np.array([0, 0, 0, 0])), classes=["a", "b", "c", "d", "e"])
    with pytest.raises(UserError, match=r"4 of 5 classes have no training example \('b', 'c', 'd', ...\)"):
        check_classes("here", few)
