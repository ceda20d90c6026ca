"""task=gan beside classification, as people type it: words, refusals, tables, pictures, kept rows."""

import base64
import json
import re
import sys
from functools import partial

import numpy as np
import pytest

from msda_train.cli.plot import main as msda_plot
from msda_train.cli.probe import main as msda_probe
from msda_train.cli.table import main as msda_table
from msda_train.cli.train import main as msda_train
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError
from msda_train.records.row_checks import checksum
from msda_train.records.rows import kept_name, load_rows, read_row
from msda_train.reporting.pictures.snapshots import snapshots, snapshots_figure
from msda_train.training import gan

SMALL = ["task=gan", "model.width=8", "recipe.iterations=20", "recipe.batch_size=16", "dataset.sigma=0.3"]
SMALL += ["recipe.snapshots=[3,15]", "threads=1", "device=cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two methods, two seeds each."""
    folder = tmp_path_factory.mktemp("gan") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "EPOCH", 10)
        for method in ("gan/erm", "gan/mixup"):
            for seed in (0, 1):
                assert msda_train([*SMALL, f"method={method}", f"seed={seed}", f"runs={folder}"]) == 0
    return folder


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; its exit code, stdout and the lines on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["msda-train"])

    def run(main, *words):
        code = main([*map(str, words)])
        out, err = capsys.readouterr()
        lines = err.replace("\r", "\n").splitlines()
        return code, out, [line for line in lines if line.strip() and "step/s" not in line]

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("task=gan model=resnet18", "model=resnet18: is not of task=gan; choose from: gan/mlp"),
        ("task=gan method=cutmix", "method=cutmix: is not of task=gan; choose from: gan/erm, gan/mixup"),
        ("task=gan dataset=cifar10", "dataset=cifar10: is not of task=gan; choose from: gan/grid, gan/ring"),
        ("task=gan recipe=mixup", "recipe=mixup: is not of task=gan; did you mean 'gan/mixup'?"),
        ("task=gan recipe.flip=true", "recipe.flip: no such option"),
        ("task=gan method.prob=1", "method.prob: no such option"),
        ("task=gan dataset=ring", "dataset=ring: unknown; did you mean 'gan/ring'?"),
        ("task=gan recipe=gan/mixin", "recipe=gan/mixin: unknown; did you mean 'gan/mixup'?"),
        ("task=gan experiment=mixup_cifar10_preactresnet18", "is of task=classification; leave it out"),
        ("task=gan regulariser=shakedrop", "regulariser=shakedrop: is of task=classification"),
        ("task=gan probes=standard", "probes: ask classifiers, and task=gan trains none"),
        ("task=gan compile=true", "compile=true: does not go with task=gan; leave it out"),
        ("task=gan profile=true", "profile=true: does not go with task=gan; leave it out"),
        ("task=gan precision=bf16", "precision=bf16: too coarse for task=gan"),
        ("task=gan method._target_=msda_train.methods.mixup.Mixup", "makes no method, for it has no terms"),
        ("task=gan recipe.snapshots=5", "recipe.snapshots=5: must be a list"),
        ("task=gan recipe.snapshots=[-1]", "recipe.snapshots=-1: must be a whole number, at least 0"),
        ("task=gan recipe.iterations=0", "recipe.iterations=0: must be a whole number, at least 1"),
        ("task=gan recipe.generator_loss=hinge", "recipe.generator_loss=hinge: unknown"),
        ("dataset=gan/ring", "dataset=gan/ring: is of another task; type task=gan"),
        ("method=gan/mixup", "method=gan/mixup: is of another task; type task=gan"),
        ("task=gna", "task=gna: unknown; did you mean 'gan'?"),
        ("task=null", "task=null: a task has to be chosen"),
        ("task=[gan,classification]", "one task at a time"),
    ],
)
def test_a_mistake_is_one_line(typed, tmp_path, words, said):
    code, _, err = typed(msda_train, *words.split())
    assert code == 2
    assert len(err) == 1
    assert said in err[0]
    assert not list(tmp_path.iterdir())


def test_a_sweep_over_both_players(typed, tmp_path, monkeypatch):
    """Methods and data sets of a task multiply like any words, and what does not fit costs no other job."""
    words = [*SMALL, "dataset=gan/ring,gan/grid", "method=gan/erm,cutmix"]
    code, out, err = typed(msda_train, "-m", *words)
    assert code == 2
    assert [line for line in err if "cutmix: is not of task=gan" in line]
    assert err[-1] == "msda-train: 2 of 4 jobs complete, 2 failed"
    assert "task=gan dataset=gan/ring dataset.sigma=0.3 model=gan/mlp" in out
    assert "task=gan dataset=gan/grid dataset.sigma=0.3 model=gan/mlp" in out
    code, _, err = typed(msda_train, *SMALL)
    assert code == 0
    assert err[0].startswith("complete: gan/erm seed 0, 20 iterations, ")
    assert " of 8 modes found, " in err[0]


def test_the_table(runs, typed):
    """Both numbers of every epoch, each in a table; the words can be typed again."""
    code, out, _ = typed(msda_table, runs)
    assert code == 0
    first, second = out.strip().split("\n\ntask=gan")
    for text, head in ((first, "modes found, %"), (second, "good samples, %")):
        assert head in text
        assert "real points/s" in text
        lines = [line.split()[:2] for line in text.splitlines() if line.startswith("  gan/")]
        assert lines == [["gan/erm", "2"], ["gan/mixup", "2"]]
    rows = [row for row in load_rows([runs], "gan")[0] if row.names["method"] == "gan/erm"]
    mean = 100 * sum(row.metrics["modes/last"] for row in rows) / 2
    assert f" {mean:.2f}" in first
    assert first.splitlines()[0] == (
        "task=gan dataset=gan/ring dataset.sigma=0.3 model=gan/mlp model.width=8 recipe=gan/mixup "
        "recipe.iterations=20 recipe.batch_size=16 recipe.snapshots=[3,15]"
    )
    assert "8 modes, 2,500 generated points judged" in first


def test_one_number_and_a_spreadsheet(runs, typed):
    _, out, _ = typed(msda_table, runs, "--metric", "good")
    assert "modes found" not in out
    assert "good samples, %" in out
    code, out, _ = typed(msda_table, runs, "--csv")
    head, *lines = out.splitlines()
    assert code == 0
    assert "good_median_last10_mean_fraction" in head.split(",")
    assert len(lines) == 2


def test_classifiers_and_gans_in_one_folder(runs, typed):
    """One table after the other; a spreadsheet holds one kind."""
    from tests.conftest import STORED

    both = [runs, STORED / "rows"]
    _, out, _ = typed(msda_table, *both)
    assert "error, %" in out
    assert "modes found, %" in out
    _, out, _ = typed(msda_table, *both, "--csv")
    assert "gan/" not in out
    assert "error_last_mean_fraction" in out
    _, out, _ = typed(msda_table, *both, "--csv", "--metric", "modes")
    assert len(out.splitlines()) == 3


def test_a_gan_is_no_classifier(runs, typed):
    """Whoever wants a network that names pictures is told, not shown a traceback."""
    run = next(runs.glob("*/s1"))
    for main, words in (
        (msda_probe, [run, "probes=standard"]),
        (msda_table, ["verify", run]),
        (msda_train, ["method=attentive_cutmix", f"method.teacher={run}", "dataset=digits"]),
    ):
        code, _, err = typed(main, *words)
        assert code == 2
        assert "is a run of task=gan; there is no classifier in it" in err[-1]


def test_the_picture(runs, typed, tmp_path):
    """A row for each method, a column for each snapshot; real points and generated ones in each panel."""
    code, out, _ = typed(msda_plot, runs, "gan")
    assert code == 0
    assert out.split() == [f"plots/gan.{kind}" for kind in ("pdf", "svg", "png")]
    drawn = (tmp_path / "plots" / "gan.svg").read_text()
    said = re.findall("<!-- (.*?) -->", drawn, re.S)
    assert {"3", "15", "gan/erm seed 0", "gan/mixup seed 0"} <= {" ".join(words.split()) for words in said}


def test_the_points_of_a_picture_are_those_of_the_row(runs):
    lines = lines_frame(load_rows([runs], "gan")[0])
    axes = snapshots_figure(lines).axes
    assert len(axes) == 4
    row = lines["rows"][1][0]
    assert (row.names["method"], row.seed) == ("gan/mixup", 0)
    real, made = (np.stack(line.get_data(), axis=1) for line in axes[2].lines)
    assert np.array_equal(made, snapshots(row)[3])
    assert real.shape == (1000, 2)
    nearest = np.hypot(*(real[:, None] - _circle()).T).min(axis=0)
    assert nearest.max() < 1.5  # five deviations


def _circle():
    angle = np.arange(8) * np.pi / 4
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def test_kept_rows_are_drawn(runs, load_script):
    """`make figures`: the snapshots, and every seed's modes beside the classifiers' errors."""
    made = load_script("figures").figures([runs])
    assert sorted(made) == sorted(
        f"{name}.{kind}" for name in ("gan", "seeds") for kind in ("pdf", "png", "svg")
    )
    assert b"modes found at the end, % of all" in made["seeds.svg"]
    assert made == load_script("figures").figures([runs])


def test_no_runs_of_the_kind(runs, typed, tmp_path):
    from tests.conftest import STORED

    code, _, err = typed(msda_plot, STORED / "rows", "gan")
    assert code == 2
    assert "no finished run" in err[-1]
    assert typed(msda_plot, runs, "reliability")[0] == 2


@pytest.mark.parametrize("text", ["", "!!!", "AAA", base64.b64encode(b"abc").decode(), 5, None])
def test_a_damaged_snapshot_is_no_picture(runs, tmp_path, text):
    path = next(runs.rglob("row.json"))
    raw = json.loads(path.read_text())
    raw["history"][0]["snapshots"] = {"3": text}
    raw["checksum"] = checksum(raw)
    (tmp_path / "row.json").write_text(json.dumps(raw))
    found = snapshots(read_row(tmp_path / "row.json"))
    assert all(points.shape[1:] == (2,) for points in found.values())
    assert not any(len(points) for key, points in found.items() if key == 3)


def _change(raw, *place, value):
    for key in place[:-1]:
        raw = raw[key]
    raw[place[-1]] = value


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("task",), "gna", "'task' is 'gna'; update msda-train"),
        (("task",), 5, "'task' is '5'"),
        (("metrics", "good/last"), 1.5, "errors are fractions, as are shares"),
        (("metrics", "modes/best"), 0.987, "'metrics' are not those of its 'history'"),
        (("history", 1, "good"), "x", "'good' is not a number"),
        (("history", 1), {"epoch": 2}, "has no modes, good"),
        (("data", "modes"), 0, "'data.modes' is 0"),
        (("data", "judged"), "many", "'data.judged' is a str"),
        (("metrics",), {"error/last": 0.1}, "metric 'modes/last' is missing"),
    ],
)
def test_a_row_that_cannot_be(runs, tmp_path, place, value, said):
    raw = json.loads(next(runs.rglob("row.json")).read_text())
    _change(raw, *place, value=value)
    raw["checksum"] = checksum(raw)
    (tmp_path / "row.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=said.replace("'", ".")):
        read_row(tmp_path / "row.json")


def test_a_row_that_says_it_is_a_classifiers(runs, tmp_path):
    """The task is no more trusted than the rest: without its numbers it is no sound row."""
    raw = json.loads(next(runs.rglob("row.json")).read_text())
    del raw["task"]
    raw["checksum"] = checksum(raw)
    (tmp_path / "row.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="is missing"):
        read_row(tmp_path / "row.json")


def test_rows_are_kept_in_a_folder_of_their_words(runs, tmp_path, load_script):
    script = load_script("keep_rows")
    written, complaints = script.keep([runs], tmp_path)
    assert not complaints
    assert len(written) == 4
    rows = load_rows([tmp_path], "gan")[0]
    assert {row.path.parent.name for row in rows} == {"gan-ring-mlp-mixup"}
    assert all(row.path == tmp_path / kept_name(row) for row in rows)


def test_a_class_of_ones_own(typed, tmp_path, monkeypatch):
    """A GAN's method is whatever has terms."""
    (tmp_path / "my_gan.py").write_text(
        "from msda_train.methods.gan_mixup import GanErm\nclass Half(GanErm):\n"
        "    def terms(self, draw, rng):\n"
        "        return [term._replace(weight=0.5) for term in super().terms(draw, rng)]\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    code, _, err = typed(partial(msda_train), *SMALL, "method._target_=my_gan.Half")
    assert code == 0
    assert err[1].startswith("complete: my_gan.Half seed 0")
