"""dataset.holdout: a part of the training images is measured, never mixed up with the test images; and
searches, which choose by it."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import msda_train
from msda_train.cli import table
from msda_train.cli.train import main
from msda_train.comparison.compare import compare, resembling
from msda_train.comparison.table import lines_frame
from msda_train.config.fingerprint import fingerprint
from msda_train.core.errors import UserError
from msda_train.data.digits import Digits
from msda_train.records.rows import read_row

PROGRAM = "import sys; from msda_train.cli.train import main; sys.exit(main())"
OPTUNA = importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper")


@pytest.fixture(scope="module")
def runs(small_run, tmp_path_factory):
    """The rows of one command, without and with a part held out."""
    folder = tmp_path_factory.mktemp("holdout")
    words = [*small_run, f"runs={folder}", "method=mixup", "logger=csv", f"logger.folder={folder / 'csv'}"]
    assert main(words) == 0
    (plain,) = folder.glob("*/s0/row.json")
    assert main([*words, "dataset.holdout=0.1"]) == 0
    (apart,) = set(folder.glob("*/s0/row.json")) - {plain}
    return plain, apart


@pytest.fixture(scope="module")
def digits(cache):
    return Digits("digits", "embedded", cache=str(cache))


def test_a_share_of_each_class_of_the_training_images_is_measured(digits):
    whole, seen = digits.examples(), replace(digits, holdout=0.2).examples()
    assert len(seen.x_test) == round(0.2 * len(whole.x_train))
    assert len(seen.x_train) + len(seen.x_test) == len(whole.x_train)
    both = [
        (image.tobytes(), label)
        for x, y in ((seen.x_train, seen.y_train), (seen.x_test, seen.y_test))
        for image, label in zip(x, y, strict=True)
    ]
    assert sorted(both) == sorted((x.tobytes(), y) for x, y in zip(whole.x_train, whole.y_train, strict=True))
    shares = np.bincount(seen.y_test) / np.bincount(whole.y_train)
    assert np.abs(shares - 0.2).max() < 0.01
    assert not seen.complete


def test_which_images_is_a_function_of_subset_seed_alone(digits):
    first, again, other = (
        replace(digits, holdout=0.1, subset_seed=number).examples(seed=seed)
        for number, seed in ((0, 0), (0, 5), (1, 0))
    )
    assert np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)


def test_wrong_labels_and_subsets_are_of_what_is_left(digits):
    seen = replace(digits, holdout=0.5, label_noise=0.9, subset=100).examples()
    clean = replace(digits, holdout=0.5).examples()
    assert np.array_equal(seen.y_test, clean.y_test)
    assert {image.tobytes() for image in seen.x_train} <= {image.tobytes() for image in clean.x_train}
    assert len(seen.x_train) == 100


@pytest.mark.parametrize("share", [1, -0.1, 1.5, True, 0.999])
def test_a_wrong_share_is_one_line(digits, share):
    with pytest.raises(UserError, match=r"^dataset\.holdout="):
        replace(digits, holdout=share).examples()


def test_another_experiment_only_where_something_is_held_out(runs):
    plain, apart = map(read_row, runs)
    assert plain.fingerprint != apart.fingerprint
    config = {node: dict(options) for node, options in plain.config.items()}
    assert config["dataset"].pop("holdout") == 0
    assert fingerprint(config) == plain.fingerprint  # as rows have it from before there was such an option


def test_the_row_says_so(runs, capsys):
    plain, apart = (json.loads(path.read_text()) for path in runs)
    assert "measured_on" not in plain["data"]
    assert apart["data"]["measured_on"] == "held_out"
    assert (apart["data"]["complete"], apart["data"]["test_images"]) == (False, 30)
    frame = msda_train.load_rows(*runs)
    named = frame.groupby("path")["metric"].agg(set)
    assert named[str(runs[0])] == {"error", "top5_error", "nll"}
    assert named[str(runs[1])] == {"held_out_error", "held_out_top5_error", "held_out_nll"}
    value = frame.query("metric == 'held_out_error' and epoch == 'last'")["value"].item()
    assert value == apart["metrics"]["error/last"]
    assert [path.with_name("history.csv").read_text().count("held_out_error") for path in runs] == [0, 1]


def test_tables_keep_them_apart(runs, capsys):
    assert table.main([str(path) for path in runs]) == 0
    told = capsys.readouterr().out
    headings = [line for line in told.splitlines() if line.startswith("dataset=digits")]
    assert len(headings) == 2
    assert sum("dataset.holdout=0.1" in line for line in headings) == 1
    assert "60 training and 30 test images" in told
    assert "60 training and 30 held-out training images" in told


def test_no_paper_is_compared_with_them(rows, papers):
    """Every stored row, as if it had been measured on a held-out part: neither its method's number nor the
    order of methods."""
    apart = [
        replace(
            row,
            fingerprint=f"x{row.fingerprint}",
            data={**row.data, "measured_on": "held_out", "complete": False},
        )
        for row in rows
    ]
    lines = lines_frame(rows)
    assert len(resembling(compare(papers, lines), lines))
    lines = lines_frame(apart)
    compared = compare(papers, lines)
    assert compared["ours"].isna().all()
    assert not len(resembling(compared, lines))


@pytest.fixture
def search(tmp_path, small_run):
    """Starts a sweep as a user does: SQLAlchemy, which Optuna brings, warns of its own future."""

    def run(*words):
        source = str(Path(msda_train.__file__).parents[1])
        command = [sys.executable, "-c", PROGRAM, *small_run, "-m", "hydra/sweeper=optuna", *words]
        env = os.environ | {"PYTHONPATH": source}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.skipif(OPTUNA is None, reason="without hydra-optuna-sweeper")
class TestOptuna:
    def test_it_makes_the_held_out_error_small(self, search, tmp_path):
        words = ["method=mixup", "method.alpha=interval(0.1,4.0)", "dataset.holdout=0.2"]
        done = search(*words, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=0")
        assert done.returncode == 0, done.stderr
        rows = [json.loads(path.read_text()) for path in tmp_path.rglob("row.json")]
        assert len({row["config"]["method"]["alpha"] for row in rows}) == 3
        best = min(row["metrics"]["error/last"] for row in rows)
        alphas = [row["config"]["method"]["alpha"] for row in rows if row["metrics"]["error/last"] == best]
        *_, told, count = done.stderr.splitlines()
        assert told.startswith(f"msda-train: smallest held-out error {100 * best:.2f} %: ")
        assert any(f"method.alpha={alpha} " in told for alpha in alphas)
        assert count == "msda-train: 3 of 3 jobs complete"
        found = (tmp_path / "runs" / "optimization_results.yaml").read_text()
        assert f"best_value: {best}" in found

    def test_the_test_set_is_no_objective(self, search, tmp_path):
        done = search("method=mixup", "method.alpha=interval(0.1,4.0)")
        assert done.returncode == 2
        assert done.stderr == (
            "msda-train: hydra/sweeper=optuna: would choose by the error on the test set; "
            "type dataset.holdout=0.1\n"
        )
        assert not list(tmp_path.iterdir())

    def test_a_job_that_fails_is_told_once(self, search):
        words = [
            "method=mixup",
            "method.alpha=choice(-1.0)",
            "dataset.holdout=0.2",
            "hydra.sweeper.n_trials=1",
        ]
        done = search(*words)
        assert done.returncode == 2
        assert done.stderr.count("must be greater than 0") == 1
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(OPTUNA is not None, reason="with hydra-optuna-sweeper")
def test_a_sweeper_without_its_package_is_one_line(search):
    done = search("method=mixup", "method.alpha=interval(0.1,4.0)")
    told = "hydra/sweeper=optuna: its package is missing; type pip install 'msda-train[optuna]'"
    assert (done.returncode, done.stderr) == (2, f"msda-train: {told}\n")
