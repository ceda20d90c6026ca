"""`msda-table show`."""

import csv
import io
import json

import pytest

from msda_train.cli.commands import show_command
from msda_train.records.summary import summarise
from msda_train.reporting.table_view import NONE


def test_a_table_beside_our_runs(table, rows, published):
    code, out, err = table("show", "some/table1", rows, "--published", published)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "1 None error 4.80 ± 0.060 (5) 4.81 ± 0.07 (3) +0.01 ±0.48 best reproduced" in lines
    assert f"4 Quoted error 9.99 {NONE} {NONE} {NONE} best not runnable" in lines
    assert "margins: ±0.5 points, at most 10 % of the number" in out
    assert "another configuration than some/table1" in out
    assert "\x1b" not in out


def test_a_fresh_clone_shows_every_table(table):
    code, out, err = table("show", "--all")
    assert (code, err) == (0, "")
    assert "cutmix/table5 · Table 5: CIFAR-100, PyramidNet-200 (alpha=240)" in out
    assert "14.47 (3)" in out
    assert "reproduced" not in out


def test_a_shipped_table_in_full(table):
    code, out, _ = table("show", "cutmix/table8")
    assert code == 0
    cells = [line for line in out.splitlines() if line.split()[:1] and line.split()[0].isdecimal()]
    off = [int(line.split()[0]) for line in cells if line.endswith(" not runnable")]
    assert off == [5, 6]
    assert "5-6 not runnable: the deviation of the Gaussian is not stated" in out


def test_every_style(table, rows, published):
    words = ("show", "some/table1", rows, "--published", published)
    assert table(*words, "--markdown")[1].count("| cell ") == 1
    assert r"\begin{tabular}{llrrrrrll}" in table(*words, "--latex")[1]
    assert "<td>reproduced" in table(*words, "--html")[1]
    records = list(csv.DictReader(io.StringIO(table(*words, "--csv")[1])))
    assert [record["verdict"] for record in records] == [
        "reproduced",
        "reproduced",
        "reproduced",
        "not runnable",
    ]
    assert float(records[0]["ours_mean"]) == pytest.approx(4.81)


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colour_in_a_terminal_only(table, rows, published, monkeypatch, terminal, environment, coloured):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    _, out, _ = table("show", "some/table1", rows, "--published", published)
    assert ("\x1b[32m" in out) == coloured
    assert "\x1b" not in table("show", "some/table1", rows, "--published", published, "--markdown")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which table? type: msda-table show PAPER/TABLE"),
        (["manifold_mixup/table1c"], "'manifold_mixup' has no table 'table1c'; did you mean 'table1"),
        (["manifold/table1a"], "there is no paper 'manifold'; did you mean 'manifold_mixup'?"),
        (["manifold_mixup"], "'manifold_mixup' has several tables"),
        (["cutmix/table5", "nowhere"], "there is no folder 'nowhere'"),
        (["--all", "nowhere"], "there is no folder 'nowhere'"),
        (["cutmix/table5", "--csv", "--html"], "not allowed with"),
        (["cutmix/table5", "--pdf"], "unrecognized arguments: --pdf"),
    ],
)
def test_what_is_typed_wrong_costs_one_line(table, words, message):
    code, out, err = table("show", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def damaged(rows, kind):
    """One row made bad in the way of `kind`; its path."""
    path = sorted((rows / "manifold_cifar10_preactresnet18").glob("*.json"))[0]
    text = path.read_text()
    raw = json.loads(text)
    if kind == "version":
        path.write_text(json.dumps(raw | {"schema": 99}))
    elif kind == "nan":
        path.write_text(text.replace('"error/best": 0.', '"error/best": NaN, "x": 0.'))
    elif kind == "cut off":
        path.write_text(text[: len(text) // 2])
    else:  # the same run with another result
        raw["history"][-1]["error"] = 0.9
        path.with_name("zzz.json").write_text(json.dumps(raw | {"metrics": summarise(raw["history"])}))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("version", "schema 99 is unknown here"),
        ("nan", "holds NaN, so the run did not end well"),
        ("cut off", "not JSON or cut off"),
        ("conflict", "other metrics than"),
    ],
)
def test_bad_rows_are_named_and_good_ones_shown(table, rows, published, kind, message):
    before = {path.name for path in rows.rglob("*.json")}
    path = damaged(rows, kind)
    code, out, err = table("show", "some/table1", rows, "--published", published)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    assert path.name in err
    assert "4.81 ± 0.07 (3)" in out
    assert before <= {path.name for path in rows.rglob("*.json")}


def test_a_row_twice_counts_once(table, rows, published):
    (rows / "copy").mkdir()
    for path in (rows / "manifold_cifar10_preactresnet18").glob("*.json"):
        (rows / "copy" / path.name).write_bytes(path.read_bytes())
    code, out, err = table("show", "some/table1", rows, "--published", published)
    assert (code, err) == (0, "")
    assert "4.81 ± 0.07 (3)" in out


def test_words_in_rows_and_papers_cannot_leave_their_place(table, rows, published):
    """Neither control codes on a terminal nor markup in a page."""
    path = published / "some.yaml"
    path.write_text(path.read_text().replace("label: Quoted", 'label: "<b>\\e[31m|&"'))
    for style in ("--html", "--markdown", "--latex"):
        code, out, _ = table("show", "some/table1", rows, "--published", published, style)
        assert code == 0
        assert "<b>" not in out or style != "--html"
        assert "\x1b" not in out


def test_its_help(table):
    with pytest.raises(SystemExit) as caught:
        show_command.main(["--help"])
    assert caught.value.code == 0
