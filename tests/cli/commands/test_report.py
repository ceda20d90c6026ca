"""`msda-table report` as a person types it."""

import subprocess
import sys
from pathlib import Path

import msda_train

CALL = """
import sys
from msda_train.cli.table import main as run
code = run(sys.argv[1:])
assert not {"torch", "matplotlib.pyplot"} & set(sys.modules)
sys.exit(code)
"""


def test_the_default_file_and_folders(table, rows, tmp_path):
    rows.rename(tmp_path / "runs")
    code, out, err = table("report")
    assert (code, err) == (0, "")
    assert out.startswith("report.html: ")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "manifold_mixup, Table 1(a)" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "runs"]


def test_without_any_rows_it_says_so(table, tmp_path):
    assert table("report")[0] == 0
    assert "There are no runs yet" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_bad_rows_are_told_and_the_report_is_written(table, rows, tmp_path):
    (rows / "bad.json").write_text("{")
    code, _, err = table("report", rows, "--out", "other.html")
    assert code == 2
    assert err.count("\n") == 1
    assert "bad.json: not JSON or cut off" in err
    assert "bad.json" in (tmp_path / "other.html").read_text(encoding="utf-8")


def test_what_cannot_be_done_is_one_line(table, rows, tmp_path):
    (tmp_path / "folder").mkdir()
    for words, said in [
        (["nowhere"], "there is no folder 'nowhere'"),
        (
            [rows, "--out", "no/such/report.html"],
            "--out no/such/report.html: cannot be written (No such",
        ),
        ([rows, "--out", "folder"], "--out folder: cannot be written (Is a directory)"),
        (["--outt", "x"], "unrecognized arguments"),
        (["--published", "nowhere"], "no published files"),
    ]:
        code, out, err = table("report", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "rows"]


def test_a_report_that_was_there_is_kept_or_replaced_whole(table, rows, tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", _full)
        assert table("report", rows)[0] == 2
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "rows"]
    assert table("report", rows)[0] == 0
    assert target.read_text(encoding="utf-8").endswith("</html>\n")


def _full(*args):
    raise OSError(28, "No space left on device")


def test_it_imports_no_torch(rows, tmp_path):
    source = str(Path(msda_train.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r})\n{CALL}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "report", str(rows)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
