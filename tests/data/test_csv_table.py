"""Tables: what a column becomes, how rows are split, and one line for what cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.subset import split
from msda_train.data.table import TableSet

FILE = """sex, size,weight ,class
M,1.5,10,b
F,,20,a
M,2.5,?,b
I,3.5,40,a
,4.5,50,c
F,5.5,60,c
"""


def _table(tmp_path: Path, text: str = FILE, **options: object) -> TableSet:
    (tmp_path / "t.csv").write_text(text)
    facts = {"target": "class", "cache": str(tmp_path / "cache"), "empty_classes": True} | options
    return TableSet("table", "csv", str(tmp_path / "t.csv"), **facts)


def _rows(whole) -> dict[tuple, int]:
    return {tuple(row.tolist()): int(label) for row, label in zip(whole.x_train, whole.y_train, strict=True)}


def test_words_numbers_and_missing_values(tmp_path: Path) -> None:
    whole = _table(tmp_path).prepare()
    assert whole.classes == ("a", "b", "c")
    assert whole.x_train.dtype == np.float32
    assert whole.shape == (6,)
    # F, I, M and the missing sex as words; the medians of size and weight are 3.5 and 40
    assert _rows(whole) == {
        (0, 0, 1, 0, 1.5, 10): 1,
        (1, 0, 0, 0, 3.5, 20): 0,
        (0, 0, 1, 0, 2.5, 40): 1,
        (0, 1, 0, 0, 3.5, 40): 0,
        (0, 0, 0, 1, 4.5, 50): 2,
        (1, 0, 0, 0, 5.5, 60): 2,
    }


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    text = "x,rings\n" + "".join(f"{k},{ring}\n" for k, ring in enumerate([10, 9, 2, 10, 9, 2]))
    whole = _table(tmp_path, text, target="rings").prepare()
    assert whole.classes == ("2", "9", "10")


def test_numbers_that_are_equal_are_one_class(tmp_path: Path) -> None:
    text = "x,class\n1,1\n2,1.0\n3,02\n4,2\n5,2.5\n6,2.50\n"
    whole = _table(tmp_path, text).prepare()
    assert whole.classes == ("1", "2", "2.5")


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    head, *lines = FILE.splitlines()
    one = _table(tmp_path).prepare()
    other = _table(tmp_path, "\n".join([head, *reversed(lines)]) + "\n").prepare()
    assert one.content == other.content
    np.testing.assert_array_equal(one.x_train, other.x_train)


def test_each_seed_splits_anew_unless_told(tmp_path: Path) -> None:
    table = _table(tmp_path)
    one, same, other = (table.examples(seed) for seed in (0, 0, 1))
    assert (one.n_train, one.n_test) == (3, 3)
    np.testing.assert_array_equal(one.x_test, same.x_test)
    assert any((table.examples(seed).x_test != one.x_test).any() for seed in range(1, 6))
    assert other.content == one.content
    fixed = _table(tmp_path, split_seed=3)
    np.testing.assert_array_equal(fixed.examples(0).x_test, fixed.examples(1).x_test)
    assert (table.split_of(5), fixed.split_of(5)) == (5, None)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_a_stratified_split_has_its_share_of_each_class(share: float) -> None:
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [200, 70, 5]))
    for seed in range(5):
        test = split(y, share, generator(seed, "split"), stratified=True)
        assert len(set(test)) == len(test) == round(share * len(y))
        for k, count in enumerate(np.bincount(y)):
            assert abs((y[test] == k).sum() - share * count) <= 1


def test_a_plain_split_is_a_random_one() -> None:
    y = np.arange(40) // 20
    drawn = np.stack(
        [np.isin(np.arange(40), split(y, 0.25, generator(s, "split"), stratified=False)) for s in range(400)]
    )
    assert (drawn.sum(axis=1) == 10).all()
    assert np.abs(drawn.mean(axis=0) - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 400)  # sd 0.022 each


def test_a_class_without_rows_is_told_after_the_split(tmp_path: Path) -> None:
    text = "x,class\n" + "1,a\n" * 9 + "2,b\n"
    with pytest.raises(
        UserError, match=r"1 of 2 classes have no (training|test) example .*empty_classes=true"
    ):
        _table(tmp_path, text, empty_classes=False).examples()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (FILE, {"target": None}, "dataset.target is null; type dataset.target=COLUMN"),
        (FILE, {"target": "clas"}, r"dataset.target=clas: no column of .*; did you mean 'class'"),
        (FILE, {"leave_out": ["sxe"]}, r"dataset.leave_out=sxe: no column of .*'sex'"),
        (FILE.replace(",c\n", ",b\n").replace(",a\n", ",b\n"), {}, "one class only"),
        ("x,class\n1,1.5\n2,2.5\n3,3.5\n4,3.5\n", {}, "3 classes in 4 rows"),
        (FILE.replace("40", "forty"), {}, "column 'weight' holds numbers, and in row 4 the text 'forty'"),
        (FILE.replace("40", "inf"), {}, "holds a number that float32 cannot work with"),
        (FILE.replace(",a\n", ",\n", 1), {}, "row 2 has no class in column 'class'"),
        (
            "x,z,class\n,1,a\n,2,a\n,3,b\n,4,b\n",
            {},
            r"column 'x' is empty; type 'dataset.leave_out=\[\"x\"\]'",
        ),
        ("x,y,class\n1,2,a,\n3,4,b,\n", {}, "cannot be read as CSV .*Expected 3 fields in line 2, saw 4"),
        ("x,class,\n1,a,\n3,b,\n", {}, "column 3 of 3 has no name"),
        ("class,x,class\na,1,a\nb,2,b\n", {}, "two columns are called 'class'"),
        ("x,class\n", {}, "headings only; give one line per row"),
        ('x,class\n"0,9",a\n"0,8",b\n' * 1 + '"0,7",a\n"0,6",b\n', {}, "has commas in its numbers"),
        (FILE, {"leave_out": ["class"]}, "dataset.leave_out=class: is the target"),
        ("class\na\nb\na\nb\n", {}, "no column is left to learn from"),
        ("", {}, "cannot be read as CSV"),
        ("x,class\n1,a,3,4\n", {}, "cannot be read as CSV|has no class|one class"),
        (FILE, {"test_share": 1.0}, "dataset.test_share=1.0: above 0, below 1"),
        (FILE, {"test_share": 0}, "dataset.test_share=0: above 0, below 1"),
        (FILE, {"source": "npz"}, "unknown for table"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, text: str, options: dict, message: str) -> None:
    source = options.pop("source", None)
    table = _table(tmp_path, text, **options)
    if source:
        table = TableSet("table", source, table.root)
    with pytest.raises(UserError, match=message) as told:
        table.examples()
    assert len(str(told.value).splitlines()) == 1


def test_names_are_no_categories(tmp_path: Path) -> None:
    text = "name,class\n" + "".join(f"n{k},{k % 2}\n" for k in range(300))
    with pytest.raises(
        UserError, match=r"column 'name' has 300 different words; type 'dataset.leave_out=\[\"name\"\]'"
    ):
        _table(tmp_path, text).prepare()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; give a CSV file, and dataset.target=COLUMN"):
        TableSet("table", "csv", str(tmp_path / "none.csv"), target="class").examples()
