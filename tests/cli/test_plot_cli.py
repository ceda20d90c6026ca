"""`msda-plot` as a person types it: what it writes, what it says, and its exit codes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msda_train.cli.plot import main as run
from msda_train.core import paths
from msda_train.evaluation import decision_boundary as toy_module

SMALL = Path(__file__).parents[1] / "stored" / "rows" / "digits-preactresnet18-smoke"


@pytest.fixture
def run_folder(tmp_path):
    """A run folder made of a stored row, with a calibration probe; `change(raw)` alters the row."""

    def made(name, *, arrays=True, numbers=True, change=lambda raw: None, source=0):
        raw = json.loads(sorted(SMALL.glob("*.json"))[source].read_text())
        if numbers:
            raw["probes"] = {"calibration": {"numbers": {"ece_2": 0.1}, "asked": []}}
        change(raw)
        folder = tmp_path / name / "s0"
        (folder / "probes").mkdir(parents=True)
        (folder / "row.json").write_text(json.dumps(raw))
        if arrays:
            out = io.BytesIO()
            np.savez_compressed(
                out,
                count_2=np.array([3.0, 7]),
                confidence_2=np.array([0.4, 0.9]),
                accuracy_2=np.array([0.3, 1]),
            )
            (folder / "probes" / "calibration.npz").write_bytes(out.getvalue())
        return folder

    return made


def test_a_kind_is_written_and_its_paths_said(run_folder, tmp_path, capsys):
    out = tmp_path / "new" / "plots"
    assert run([str(run_folder("a")), "reliability", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(out / f"reliability.{kind}") for kind in ("pdf", "svg", "png")]
    assert said.err == ""
    assert (out / "reliability.svg").read_text().startswith("<?xml ")
    assert (out / "reliability.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_a_style_of_ones_own(run_folder, tmp_path, capsys):
    (tmp_path / "mine.mplstyle").write_text("figure.facecolor: 123456\nsavefig.facecolor: 123456\n")
    words = [str(run_folder("a")), "reliability", "--out", str(tmp_path), "--style"]
    assert run([*words, str(tmp_path / "mine.mplstyle")]) == 0
    assert "#123456" in (tmp_path / "reliability.svg").read_text()
    capsys.readouterr()
    for name, said in (("nowhere.mplstyle", "cannot be read"), ("bad.mplstyle", "nonsense")):
        (tmp_path / "bad.mplstyle").write_text("nonsense: 3\n")
        assert run([*words, str(tmp_path / name), "--out", str(tmp_path / "not")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--style {tmp_path / name}" in line
        assert said in line
    assert not (tmp_path / "not").exists()


def test_all_is_every_kind_with_data(run_folder, tmp_path, capsys):
    assert run([str(run_folder("a").parent), "all", "--out", str(tmp_path)]) == 0
    assert sorted(path.stem for path in tmp_path.glob("*.svg")) == ["evolution", "reliability"]
    empty = run_folder("b", arrays=False, numbers=False, change=lambda raw: raw.update(history=[]))
    assert run([str(empty), "all"]) == 2
    assert "msda-probe RUN" in capsys.readouterr().err


def test_a_run_without_the_data_costs_one_line_and_the_others_are_drawn(run_folder, tmp_path, capsys):
    bare, lost = run_folder("b", arrays=False, numbers=False, source=1), run_folder("a")
    assert run([str(lost), str(bare), "reliability", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert f"msda-probe {bare} probes=" in line
    assert "nothing for reliability" in line
    svg = (tmp_path / "reliability.svg").read_text()
    assert "<!-- hmix" in svg
    assert "<!-- erm -->" not in svg


def test_an_option_that_a_picture_needs_is_named(run_folder, tmp_path, capsys):
    assert run([str(run_folder("a")), "features", "--out", str(tmp_path)]) == 2
    assert "probes.in_between.pca=[0,1]" in capsys.readouterr().err


def test_a_lost_file_of_arrays_is_named(run_folder, tmp_path, capsys):
    folder = run_folder("a", arrays=False)
    assert run([str(folder), "reliability", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert str(folder / "probes" / "calibration.npz") in said.err
    assert said.out == ""
    assert run([str(next(SMALL.glob("*.json"))), "reliability", "--out", str(tmp_path)]) == 2
    assert "kept row" in capsys.readouterr().err
    folder = run_folder("c", change=lambda raw: raw.update(history=[]))
    assert run([str(folder), "evolution", "--out", str(tmp_path)]) == 2
    assert "no epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reliability"], "which run?"),
        (["nowhere", "reliability"], "nowhere: there is no such run"),
        ([".", "reliabilty"], "did you mean 'reliability'?"),
        ([".", "reliability"], "no finished run"),
        ([], "--help"),
    ],
)
def test_slips_of_the_pen_are_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_folder_that_cannot_be_written_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run([str(run_folder("a")), "reliability", "--out", str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--out" in line


@pytest.fixture
def toys(monkeypatch):
    """In place of the training of the toy: the words it was asked with."""
    asked = []

    def fake(words, seed=0, *, shape):
        asked.append(tuple(words))
        rng, axis = np.random.default_rng(0), np.linspace(-1, 1, 5)
        field, points = rng.random((5, 5)), rng.random((6, 2))
        hidden = {"hidden": points, "hidden_across": axis, "hidden_up": axis, "hidden_p": field}
        return {"points": points, "labels": np.arange(6) % 2, "axis": axis, "p": field, **hidden}

    monkeypatch.setattr(toy_module, "toy", fake)
    return asked


def test_a_boundary_needs_no_run(toys, tmp_path):
    assert run(["boundary", "--out", str(tmp_path)]) == 0
    assert toys == [("method=erm",), ("method=mixup",), ("method=manifold_mixup",)]
    svg = (tmp_path / "boundary.svg").read_text()
    assert svg.count("<!-- points") + svg.count("hidden plane -->") >= 3
    assert svg.count("stroke: #1b1f24; stroke-width: 1;") + svg.count("QuadContourSet") >= 6


def test_a_boundary_of_methods_that_are_typed_and_of_other_points(toys, tmp_path, capsys):
    words = ["method=mixup", "method.alpha=0.2", "method=manifold_mixup", "method.depths=[2]"]
    assert run([*words, "boundary", "--points", "moons", "--out", str(tmp_path)]) == 0
    assert toys == [tuple(words[:2]), tuple(words[2:])]
    assert "Two moons" in (tmp_path / "boundary.svg").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["boundary", "method.alpha=1"], "method.alpha=1: of which method?"),
        (["boundary", "dataset=digits"], "dataset=digits: boundary has points of its own"),
        (["boundary", "--classes", "0", "1"], "--classes 0 1: goes with pca"),
        (["pca", "--points", "moons"], "--points moons: goes with boundary"),
        (["pca", "somewhere"], "there is no plot 'somewhere'"),
        (["somewhere", "pca"], "somewhere: pca is of a data set, not of runs; type dataset=NAME"),
        (["pca", "dataset=digit"], "digit"),
        (["pca", "--classes", "3", "x"], "--classes x: unknown"),
        (["reliability", "method=erm"], "method=erm: reliability is of finished runs"),
    ],
)
def test_words_that_do_not_go_together(words, says, cache, monkeypatch, capsys):
    monkeypatch.setattr(paths, "DATA", cache)
    assert run(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_blends_of_two_digits(tmp_path, cache):
    words = ["pca", f"dataset.cache={cache}", "method=cutmix", "method.prob=1", "--classes", "3", "8"]
    assert run([*words, "--out", str(tmp_path)]) == 0
    svg = (tmp_path / "pca.svg").read_text()
    assert "cutmix prob=1: 3 and 8" in svg
    assert svg.count("<image") >= 1
    assert (tmp_path / "pca.pdf").read_bytes().startswith(b"%PDF")


def test_a_table_has_no_pictures(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b,kind\n" + "".join(f"{k},{k % 3},{k % 2}\n" for k in range(40)))
    words = ["dataset=table", f"dataset.root={tmp_path / 't.csv'}", "dataset.target=kind"]
    assert run(["pca", *words, f"dataset.cache={tmp_path}"]) == 2
    assert "pca draws pictures, and this data set has none" in capsys.readouterr().err


def test_runs_and_methods_exclude_each_other(toys, run_folder, capsys):
    assert run([str(run_folder("a")), "boundary", "method=erm"]) == 2
    assert "method=erm: give runs or methods, not both" in capsys.readouterr().err


def _method(name, node):
    def change(raw):
        raw["names"]["method"] = name
        raw["config"]["method"] = {"_target_": "msda_train.methods.mixup.Mixup", **node}

    return change


def test_a_boundary_is_of_the_methods_of_the_runs_and_of_no_class_that_a_row_names(
    toys, run_folder, tmp_path, capsys
):
    shipped = {"alpha": 1.0, "prob": 1.0, "lam_per": "batch", "pairing": "permutation"}
    run_folder("a", change=_method("mixup", {**shipped, "alpha": 0.2}))
    run_folder("b", change=_method("mixup", {**shipped, "_target_": "os.system"}))
    run_folder(
        "c", change=_method("erm", {"_target_": "msda_train.methods.erm.Erm", "extra": "${oc.env:HOME}"})
    )
    run_folder("d")  # hmix: a point has no parts
    depths = {"_target_": "msda_train.methods.manifold_mixup.ManifoldMixup", "alpha": 2.0, "depths": [2]}
    run_folder("e", change=_method("manifold_mixup", {**shipped, **depths}))
    assert run([str(tmp_path), "boundary", "--out", str(tmp_path)]) == 0
    (method, *options), manifold = sorted(toys, reverse=True)
    assert manifold == ("method=manifold_mixup", "method.depths=[2]")
    assert method == "method=mixup"
    assert "method.alpha=0.2" in options
    assert run([str(tmp_path / "d"), "boundary"]) == 2
    assert "msda-plot boundary" in capsys.readouterr().err


def test_only_a_boundary_needs_torch(run_folder, tmp_path):
    code = (
        "import sys; from msda_train.cli.plot import main; main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules"
    )
    words = [str(run_folder("a")), "all", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-W", "error", "-c", code, *words], check=True, timeout=60)
