"""`msda-train` as people type it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from msda_train.cli.train import main


@pytest.fixture
def msda_train(tmp_path, small_run, monkeypatch, capsys):
    """Runs the command in an empty folder; returns (exit code, stdout, stderr without the progress bar)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["msda-train"])
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*words):
        code = main([*small_run, *words])
        out, err = capsys.readouterr()
        lines = [
            line for line in err.replace("\r", "\n").splitlines() if line.strip() and "step/s" not in line
        ]
        return code, out, [line for line in lines if "s/step" not in line]

    return run


def test_a_run_makes_a_row_and_a_second_call_says_so(msda_train, tmp_path):
    code, _, err = msda_train("method=cutmix")
    (row,) = tmp_path.rglob("row.json")
    assert code == 0
    assert err[-1] == str(row.relative_to(tmp_path))
    assert json.loads(row.read_text())["names"] == {
        "dataset": "digits",
        "model": "preactresnet18",
        "method": "cutmix",
        "recipe": "smoke",
        "experiment": None,
    }
    code, _, err = msda_train("method=cutmix")
    assert code == 0
    assert [line.split(",")[0] for line in err] == ["complete: cutmix seed 0"]


def test_a_sweep_ends_with_its_table(msda_train, tmp_path):
    code, out, err = msda_train("-m", "method=erm,mixup", "seed=0,1")
    assert code == 0
    assert len(list(tmp_path.rglob("row.json"))) == 4
    assert "mixup" in out
    assert "erm" in out
    assert "±" in out
    assert err[-1] == "msda-train: 4 of 4 jobs complete"


def test_a_failed_job_does_not_stop_the_rest(msda_train, tmp_path):
    code, out, err = msda_train("-m", "method=mixup", "method.alpha=1.0,-1.0,2.0")
    assert code == 2
    assert len(list(tmp_path.rglob("row.json"))) == 2
    assert any("method.alpha=-1.0: must be greater than 0" in line for line in err)
    assert "alpha=2.0" in out
    assert err[-1] == "msda-train: 2 of 3 jobs complete, 1 failed"


def test_a_sweep_of_nothing_is_refused(msda_train):
    code, out, err = msda_train("-m", "seed=glob(*)")
    assert (code, out) == (2, "")
    assert err[-1] == "msda-train: -m: no job comes of these words; type -m OPTION=A,B"


def test_a_diverging_job_is_exit_code_1(msda_train):
    code, _, err = msda_train("-m", "recipe.lr=0.1,1e30")
    assert code == 1
    assert err[-1] == "msda-train: 1 of 2 jobs complete, 1 failed"


def test_a_typo_in_a_sweep_costs_nothing(msda_train, tmp_path):
    code, _, err = msda_train("-m", "method=mixup,cutmux")
    assert code == 2
    assert err == ["msda-train: method=cutmux: unknown; did you mean 'cutmix'?"]
    assert not list(tmp_path.rglob("row.json"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["method=cutmux"], "method=cutmux: unknown; did you mean 'cutmix'?"),
        (["dataset=cifar"], "dataset=cifar: unknown; did you mean 'cifar10'?"),
        (["recipe=shrt"], "recipe=shrt: unknown; did you mean 'short'?"),
        (["model=resnet"], "model=resnet: unknown; did you mean 'resnet50'?"),
        (["method=mixup", "method.alhpa=1"], "method.alhpa: no such option; did you mean 'method.alpha'?"),
        (["metod=mixup"], "metod: no such option; did you mean 'method'?"),
        (["recipe.epoch=2"], "recipe.epoch: no such option; did you mean 'recipe.epochs'?"),
        (
            ["method=mixup", "method.alpha=0"],
            "method.alpha=0: must be greater than 0 and finite; type method.alpha=1.0",
        ),
        (
            ["method=[mixup,cutmix]"],
            "method=[mixup,cutmix]: one method at a time; -m method=A,B runs one after the other; "
            "cutout goes with any method as recipe.cutout=16",
        ),
        (
            ["method=cutmix", "method=cutout"],
            "method=cutmix method=cutout: one method at a time; -m method=A,B runs one after the other; "
            "cutout goes with any method as recipe.cutout=16",
        ),
        (
            ["model=[wrn28_2,wrn28_10]"],
            "model=[wrn28_2,wrn28_10]: one model at a time; -m model=A,B runs one after the other",
        ),
        (
            ["regulariser=null"],
            "regulariser=null: a regulariser has to be chosen; "
            "choose from: dropblock, none, shakedrop, stochdepth",
        ),
        (
            ["experiment=null"],
            "experiment=null: no experiment is what goes without saying; leave the word out",
        ),
        (
            ["~method"],
            "method: is no node of options; type method=NAME, choose from: adautomix, alignmix",
        ),
        (["~seed"], "seed: has to be there; take ~seed away"),
        (["~dataset.mean"], "recipe.mean: Interpolation key 'dataset.mean' not found"),
        (["~recipe"], "recipe.batch_size: no such option; it has been taken away"),
        (["recipe=5"], "recipe=5: unknown; choose from: cutmix, cutmix_imagenet, cutmix_localisation_cub"),
        (["dataset.source=null"], "dataset.source=null: must be text"),
        (["dataset.root=nowhere"], "dataset.root=nowhere: digits comes along, nothing is read; leave it out"),
        (["runs=null"], "runs=null: must be text"),
        (["runs="], "runs=: must be a folder; type runs=runs"),
        (["runs=[a]"], "runs=[a]: must be one word; a folder or file of that name is runs=./[a]"),
        (["hydra=null"], "hydra=null: cannot be; type hydra.OPTION=VALUE"),
        (["probes=null"], "probes=null: cannot be; type probes=none"),
        (["+probes.x=1"], "probes.x=1: must be a node, or null for without it"),
        (["probes=standard", "probes.ood=5"], "probes.ood=5: must be a node, or null for without it"),
        (["recipe.epochs=" + "9" * 5000], "a number has thousands of digits; type a smaller one"),
        (
            ["recipe.epochs=" + "9" * 40],
            "recipe.epochs=" + "9" * 40 + ": must be a whole number of less than 19",
        ),
        (["recipe.lr=nan"], "recipe.lr=nan: must be a finite number"),
        (["recipe.std=[1e-320]"], "recipe.std=1e-320: pixels would leave float32; type 0.0001 or more"),
        (
            ["-m", "seed=range(0,1000000000)"],
            "seed=range(0,1000000000): a sweep of more than 100,000 jobs; type a shorter range",
        ),
        (["method.alpha=1"], "method.alpha: no such option; this method has no options"),
        (
            ["recipe.mean=[a]"],
            "recipe.mean=['a']: must be a list, such as [0.5,0.25]; each item a finite number",
        ),
        (
            ["method._target_=builtins.dict"],
            "method._target_=builtins.dict: makes no method, for it has no plan",
        ),
        (["model._target_=..."], "model._target_=...: names no class; type model._target_=my_file.MyClass"),
        (["model._target_=.x.y"], "model._target_=.x.y: names no class; type model._target_=my_file.MyClass"),
        (["--resolve"], "--resolve: goes with --cfg job"),
        (["--experimental-rerun=x.pickle"], "--experimental-rerun: not here; type the words of the run"),
        (["threads=100000000"], "threads=100000000: at most "),
        (
            ["model.width=10000000000000"],
            "model: cannot be made with these options (more memory than this machine has)",
        ),
        (
            ["model.width=20000"],
            "model: these options make a network whose weights, gradients and momentum need",
        ),
        (["model.blocks=[1000000]"], "model: more than 20,000 tensors of weights; type fewer blocks"),
        (["recipe.cutout=-1"], "recipe.cutout=-1: must be a whole number, at least 0"),
        (["method=cutmix", "method.prob=1.1"], "method.prob=1.1: must lie in [0, 1]; type method.prob=0.5"),
        (
            ["method=manifold_mixup", "method.depths=[0,7]"],
            "method.depths=[0, 7]: this model can mix at depths 0 to 2",
        ),
    ],
)
def test_bad_words(msda_train, tmp_path, words, line):
    code, out, err = msda_train(*words)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith(f"msda-train: {line}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["method=mixup", "method.alpha="],
        ["method.alpha=[1"],
        ["experiment=mixup_cifar11"],
        ["dataset=cifar10", "dataset.source=npz"],
        ["dataset=cifar10", "dataset.source=npz", "dataset.root=nowhere.npz"],
        ["dataset=svhn", "dataset.source=imagefolder", "dataset.root=nowhere"],
        ["dataset=cifar10", "dataset.source=cloud"],
        ["device=cuda:99"],
        ["runs=/dev/null/runs"],
        ["-m", "seed=0,1", "runs=/dev/null/runs"],
        ["seed=1.5"],
        ["recipe=mixup"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(msda_train, words):
    code, out, err = msda_train(*words)
    assert code == 2
    assert out == ""
    assert [line for line in err if not line.startswith("msda-train seed=")] == [err[-1]]
    assert err[-1].startswith("msda-train: ")
    assert "Traceback" not in err[-1]


@pytest.mark.parametrize("name", ["2024", "1e3", "true", "null.5", "~a", "a(b)", "[a]", "a:b", "007"])
def test_text_stays_text(msda_train, tmp_path, name):
    """However it looks to Hydra's grammar."""
    code, _, err = msda_train(f"runs=./{name}" if name[0] in "[~" else f"runs={name}")
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_text_in_a_sweep(msda_train, tmp_path):
    code, _, err = msda_train("-m", "runs=2024,true")
    assert code == 0, err
    assert {path.parents[2].name for path in tmp_path.rglob("row.json")} == {"2024", "true"}


def test_somebody_elses_method(msda_train, tmp_path):
    """A class in the user's own file, without touching ours: as the README shows it."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    (tmp_path / "my_methods.py").write_text(readme.partition("```python\n")[2].partition("```")[0])
    code, _, err = msda_train("method._target_=my_methods.HalfMix", "+method.weight=0.75")
    assert code == 0, err
    (row,) = tmp_path.rglob("row.json")
    assert json.loads(row.read_text())["names"]["method"] == "my_methods.HalfMix"
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "halfmix.yaml").write_text("_target_: my_methods.HalfMix\nweight: 0.6\n")
    code, out, err = msda_train("--config-dir", "mine", "-m", "method=halfmix,erm")
    assert code == 0, err
    assert "HalfMix" in out


def test_an_interrupt_is_one_line(msda_train, monkeypatch):
    from msda_train.training.run import Run

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "epoch", stop)
    code, _, err = msda_train("method=erm")
    assert code == 130
    how, stopped = err
    assert how.startswith("on cpu (")
    assert "fp32, channels_last" in how
    assert stopped == "msda-train: stopped; the same command goes on from the last checkpoint"


def test_help_answers_without_torch(tmp_path):
    program = "import sys; from msda_train.cli.train import main; main(['--help']); "
    program += "sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "msda-train method=cutmix" in done.stdout
    assert list(Path(tmp_path).iterdir()) == []
