"""What people who know Hydra expect of a command that uses it."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from msda_train.cli.train import main


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:] = before[0]  # --info leaves one that writes to the stdout of that test
    root.setLevel(before[1])


@pytest.fixture
def told(capfd):
    """What a command prints, which must end well."""

    def run(*words):
        code = main(words)
        out, err = capfd.readouterr()
        assert code == 0, err
        return out

    return run


def test_cfg_job_prints_the_config_and_trains_nothing(told, tmp_path):
    printed = yaml.safe_load(told("--cfg", "job", "method=mixup", "method.alpha=0.2", "seed=7"))
    assert (printed["method"]["alpha"], printed["seed"]) == (0.2, 7)
    assert "hydra" not in printed
    assert printed["recipe"]["mean"] == "${dataset.mean}"
    resolved = yaml.safe_load(told("method=mixup", "--cfg", "job", "--resolve"))
    assert resolved["recipe"]["mean"] == [0.3054]
    part = told("--cfg", "job", "--package", "method", "method=mixup")
    assert yaml.safe_load(part)["alpha"] == 1.0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--info", "method=fmix"],
        ["method=fmix", "-i"],
        ["--info", "config", "method=fmix"],
        ["method=fmix", "--info=config"],
    ],
)
def test_info_prints_the_config_whatever_stands_behind_it(told, tmp_path, words):
    printed = told(*words)
    assert "msda_train.methods.fmix.FMix" in printed
    assert not list(tmp_path.iterdir())


def test_info_says_where_values_are_from(told):
    printed = told("--info", "defaults", "experiment=mixup_iris_mlp")
    assert "experiment/mixup_iris_mlp" in printed
    assert "dataset/iris" in printed


def test_run_dir_holds_what_hydra_writes(small, tmp_path, told):
    told(*small("hydra.run.dir=out", "hydra.output_subdir=.hydra", "seed=5"))
    assert yaml.safe_load(Path("out/.hydra/config.yaml").read_text())["seed"] == 5
    assert "seed=5" in yaml.safe_load(Path("out/.hydra/overrides.yaml").read_text())
    assert len(list(tmp_path.glob("runs/*/s5/row.json"))) == 1


def test_chdir_goes_there_before_the_run(small_run, tmp_path, told):
    told(*small_run, "hydra.run.dir=there", "hydra.job.chdir=true", "runs=mine")
    assert len(list(tmp_path.glob("there/mine/*/s0/row.json"))) == 1
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("word", ["experiment=mixup_iris_mlp", "+experiment=mixup_iris_mlp"])
def test_an_experiment_with_and_without_a_plus(told, word):
    printed = yaml.safe_load(told("--cfg", "job", word, "+method=mixup"))
    assert (printed["dataset"]["name"], printed["recipe"]["batch_size"]) == ("iris", 16)
    assert printed["method"]["_target_"].endswith("Mixup")


def test_a_folder_of_ones_own_files(small, tmp_path, told):
    for name, text in {
        "method/half.yaml": "_target_: msda_train.methods.mixup.Mixup\nalpha: 0.5\n",
        "recipe/mine.yaml": "defaults: [smoke]\nlr: 0.05\nbatch_size: 25\n",
        "experiment/all_mine.yaml": "# @package _global_\n"
        "defaults: [override /recipe: mine, override /method: half]\n",
    }.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    words = [word for word in small() if not word.startswith("recipe")]
    told("--config-dir", "conf", *words, "+experiment=all_mine", "seed=2")
    (path,) = tmp_path.glob("runs/*/s2/row.json")
    row = json.loads(path.read_text())
    assert (row["names"]["method"], row["names"]["recipe"]) == ("half", "mine")
    assert (row["config"]["method"]["alpha"], row["config"]["recipe"]["lr"]) == (0.5, 0.05)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--config-name=nothing"], "--config-name=nothing: there is no such file; leave it out"),
        (["+experiment=mixup_iris"], "experiment=mixup_iris: unknown; did you mean"),
        (["+method=mixup", "method=cutmix"], "method=mixup method=cutmix: one method at a time"),
    ],
)
def test_wrong_words(capfd, words, line):
    assert main(words) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"msda-train: {line}")
    assert err.count("\n") == 1
