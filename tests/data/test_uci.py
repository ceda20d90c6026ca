"""UCI's tables: small files in each one's format, and the real ones where they are at hand."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from msda_train.core.errors import UserError
from msda_train.data import uci
from msda_train.data.dataset import Dataset
from msda_train.data.uci import Abalone, Arcene, Arrhythmia, Htru2, Iris, Phishing, UciTable

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "uci"
TABLES = (Abalone, Arcene, Arrhythmia, Htru2, Iris, Phishing)


class _Few:
    """A table whose official counts are those of the small file."""

    def __init__(self, kind: type[UciTable], monkeypatch: pytest.MonkeyPatch, *counts: object) -> None:
        for name, value in zip(("n_train", "shape", "n_classes"), counts, strict=True):
            monkeypatch.setattr(kind, name, value)
        self.table = kind(kind.__name__.lower(), "download")

    def read(self, folder: Path):
        return self.table.read_official(folder)


@pytest.mark.parametrize("heading", ["", "Sex,Length,Rings\n"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_headings_and_line_ends_do_not_matter(tmp_path: Path, monkeypatch, heading: str, end: str) -> None:
    text = f"{heading}M,0.5,9\nF,0.25,10\nM,0.125,9\nI,1,10\n"
    (tmp_path / "abalone.data").write_bytes(text.replace("\n", end).encode())
    arrays = _Few(Abalone, monkeypatch, 4, (4,), 2).read(tmp_path)
    assert arrays.x_train.tolist() == [[0, 0, 1, 0.5], [1, 0, 0, 0.25], [0, 0, 1, 0.125], [0, 1, 0, 1]]
    assert arrays.y_train.tolist() == [0, 1, 0, 1]
    assert arrays.classes == ("9", "10")


def test_arcene_joins_its_parts_and_skips_empty_lines(tmp_path: Path, monkeypatch) -> None:
    for split, lines, labels in (("train", "\n1 2 3\n4 5 6\n", "-1\n1\n"), ("valid", "7 8 9\n", "1\n")):
        (tmp_path / f"arcene_{split}.data").write_text(lines)
        (tmp_path / f"arcene_{split}.labels").write_text(labels)
    arrays = _Few(Arcene, monkeypatch, 3, (3,), 2).read(tmp_path)
    assert arrays.x_train.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert arrays.y_train.tolist() == [0, 1, 1]
    (tmp_path / "arcene_valid.labels").write_text("2\n")
    with pytest.raises(UserError, match=r"labels of 1 or -1 in its valid part"):
        _Few(Arcene, monkeypatch, 3, (3,), 2).read(tmp_path)


def test_missing_values_are_medians(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "arrhythmia.data").write_text("75,?,1\n56,2,10\n?,4,1\n50,6,10\n")
    arrays = _Few(Arrhythmia, monkeypatch, 4, (2,), 2).read(tmp_path)
    assert arrays.x_train.tolist() == [[75, 4], [56, 2], [56, 4], [50, 6]]


def test_htru2_comes_as_an_archive_or_unpacked(tmp_path: Path, monkeypatch) -> None:
    text = "Mean,Deviation,class\r1,2,0\r3,4,1\r5,6,0\r7,8,1\r"
    few = _Few(Htru2, monkeypatch, 4, (2,), 2)
    with zipfile.ZipFile(tmp_path / "HTRU2.zip", "w") as archive:
        archive.writestr("HTRU_2.csv", text)
    packed = few.read(tmp_path)
    assert packed.y_train.tolist() == [0, 1, 0, 1]
    (tmp_path / "HTRU2.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="not UCI's archive"):
        few.read(tmp_path)
    (tmp_path / "HTRU_2.csv").write_bytes(text.encode())
    np.testing.assert_array_equal(few.read(tmp_path).x_train, packed.x_train)


def test_phishing_begins_after_its_attributes(tmp_path: Path, monkeypatch) -> None:
    head = "@relation phishing\n\n@attribute a {-1,1}\n@attribute Result {-1,1}\n\n"
    text = f"{head}@DATA\n-1,0,1\n1,0,-1\n1,1,1\n-1,-1,-1\n"
    (tmp_path / "Training_Dataset.arff").write_text(text)
    arrays = _Few(Phishing, monkeypatch, 4, (2,), 2).read(tmp_path)
    assert arrays.x_train.tolist() == [[-1, 0], [1, 0], [1, 1], [-1, -1]]
    assert arrays.y_train.tolist() == [1, 0, 1, 0]
    (tmp_path / "Training_Dataset.arff").write_text("1,2,3\n")
    with pytest.raises(UserError, match="no @data"):
        _Few(Phishing, monkeypatch, 4, (2,), 2).read(tmp_path)


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "iris.data").write_text("1,2,3,4,a\n1,2,3,5,b\n2,2,3,5,b\n2,2,3,9,a\n")
    with pytest.raises(
        UserError, match=r"holds 4 rows of 4 numbers and 2 classes, the official table 150 of 4 and 3"
    ):
        Iris("iris", "download", str(tmp_path)).read_official(tmp_path)


def test_a_table_with_one_other_value_is_not_the_official_one(tmp_path: Path) -> None:
    lines = [f"{k / 10},3,1,0.5,{name}" for name in ("a", "b", "c") for k in range(50)]
    (tmp_path / "iris.data").write_text("\n".join(lines))
    iris = Iris("iris", "download", str(tmp_path), cache=str(tmp_path / "cache"))
    whole = iris.prepare()
    assert not whole.complete
    assert iris.verify().official is False


def test_files_that_are_there_are_not_fetched(tmp_path: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(uci, "fetch", lambda remote, folder, **_: asked.append(remote.filename))
    (tmp_path / "arcene_train.data").touch()
    Arcene("arcene", "download").fetch_official(tmp_path)
    assert asked == ["arcene_train.labels", "arcene_valid.data", "arcene_valid.labels"]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.skipif(not REAL.is_dir(), reason="the UCI files are not at hand")
def test_the_real_table(tmp_path: Path, kind: type[Dataset]) -> None:
    name = kind.__name__.lower()
    table = kind(name, "download", str(REAL / name), cache=str(tmp_path))
    whole = table.prepare()
    assert whole.complete
    assert whole.content == kind.official_content
    assert np.isfinite(whole.x_train).all()
    assert table.verify().official
