"""`msda-train -m hydra/launcher=...`: what jobs hand back from other processes."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from process_tree import below
from without_times import measured

import msda_train
from msda_train.cli import overrides
from msda_train.cli.overrides import of_swept_groups
from msda_train.cli.train import main

PROGRAM = "import sys; from msda_train.cli.train import main; sys.exit(main())"
SLURM = Path(__file__).parents[1] / "stored" / "slurm"  # programs that stand for it
EPOCHS = "recipe.epochs=60"


def _needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"without {', '.join(missing)}")


LAUNCHERS = [
    pytest.param("joblib", marks=_needs("hydra_plugins.hydra_joblib_launcher")),
    pytest.param("submitit_local", marks=_needs("hydra_plugins.hydra_submitit_launcher")),
    pytest.param("submitit_slurm", marks=_needs("hydra_plugins.hydra_submitit_launcher")),
    pytest.param("ray", marks=_needs("hydra_plugins.hydra_ray_launcher", "ray")),
]


@pytest.fixture
def start(tmp_path, small_run):
    """Starts the command as a user does; its launcher's workers are children of that process, and none is
    left when a test ends."""
    started = []

    def run(*words):
        source = str(Path(msda_train.__file__).parents[1])
        env = os.environ | {"PYTHONPATH": source, "PATH": f"{SLURM}:{os.environ['PATH']}"}
        command = [sys.executable, "-c", PROGRAM, *small_run, "checkpoint_seconds=0", *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    for process in started:
        for pid in [*below(process.pid), process.pid] if process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ValueError):  # communicated already
            process.communicate()


@pytest.fixture
def straight(tmp_path, small_run, monkeypatch):
    """The rows of the same words, one job after another in this process."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        assert main([*small_run, "runs=straight", "-m", *words]) == 0
        return measured(tmp_path / "straight")

    return run


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_failed_job_elsewhere_is_told_here(start, straight, tmp_path, launcher):
    words = ["-m", f"hydra/launcher={launcher}", "method=mixup", "method.alpha=1.0,-1.0,2.0"]
    process = start(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert "alpha=2.0" in out
    told = "method=mixup method.alpha=-1.0\nmsda-train: method.alpha=-1.0: must be greater than 0"
    count = "msda-train: 2 of 3 jobs complete, 1 failed"
    if launcher == "ray":  # shows what its workers print, even when we are done
        assert told in err
        assert count in err.splitlines()
    else:
        last = err.splitlines()[-3:]
        assert told in "\n".join(last)
        assert last[2] == count
    assert measured(tmp_path / "runs") == straight("method=mixup", "method.alpha=1.0,2.0")


@pytest.mark.parametrize(
    "launcher",
    [LAUNCHERS[0], pytest.param("submitit_local", marks=[*LAUNCHERS[1].marks, pytest.mark.slow])],
)
def test_a_killed_worker_costs_its_last_checkpoint(start, straight, tmp_path, launcher):
    words = ["-m", f"hydra/launcher={launcher}", "seed=0,1", EPOCHS]
    process = start(*words)
    runs = tmp_path / "runs"
    while len(list(runs.rglob("checkpoint.pt"))) < 2:  # both are in training
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(_trainer(process.pid, launcher), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert f"hydra/launcher={launcher}: a worker died" in err
    assert "msda-train: not finished" in err
    assert "Traceback" not in err
    again = start(*words)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert "erm" in out
    assert err.splitlines()[-1] == "msda-train: 2 of 2 jobs complete"
    assert measured(runs) == straight("seed=0,1", EPOCHS)


def _trainer(pid, launcher):
    """One of the processes below `pid` that train."""
    wanted = {"joblib": b"popen_loky", "submitit_local": b"submitit.core._submit"}[launcher]
    while True:
        for child in below(pid):
            if wanted in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: only a sweep is launched; type -m"),
        (["hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs=2: only a sweep is launched; type -m"),
        (["-m", "hydra/launcher=joblip"], "hydra/launcher=joblip: unknown; "),
        (
            ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobz=2"],
            "hydra.launcher.n_jobz: this launcher does not read it; did you mean 'hydra.launcher.n_jobs'?",
        ),
        (
            ["-m", "hydra/launcher=joblib", "+hydra.launcher.n_jobz=2"],
            "hydra.launcher.n_jobz: this launcher does not read it; did you mean 'hydra.launcher.n_jobs'?",
        ),
        (
            ["-m", "hydra.launcher.n_jobs=2"],
            "hydra.launcher.n_jobs: this launcher does not read it; leave it out",
        ),
        (["-m", "hydra/launcher=submitit_slurm"], "hydra/launcher=submitit_slurm: Could not detect "),
        (
            ["-m", "hydra/launcher=submitit_local", "hydra.launcher.nodes=3"],
            "hydra/launcher=submitit_local: LocalExecutor can use only one node.",
        ),
    ],
)
def test_bad_words(small_run, tmp_path, monkeypatch, capsys, words, line):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    code = main([*small_run, "seed=0,1" if "-m" in words else "seed=0", *words])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"msda-train: {line}")
    assert not list(tmp_path.rglob("row.json"))


@pytest.mark.parametrize("name", overrides.PLUGINS["hydra/launcher"])
def test_a_package_that_is_missing(small_run, tmp_path, monkeypatch, capsys, name):
    """Hydra knows a launcher by its plugin; without it, the line says what to install."""
    monkeypatch.chdir(tmp_path)
    told = overrides.missing_plugin("hydra/launcher", name)
    from hydra.errors import MissingConfigException

    problem = MissingConfigException("not there", f"hydra/launcher/{name}", ["basic"])
    assert overrides.describe(problem, []) == told
    assert told.startswith(f"hydra/launcher={name}: its package is missing; type pip install 'msda-train[")
    if name == "joblib":  # the plugin is here, what it needs is not
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
        monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_joblib_launcher._core", None)
        assert main([*small_run, "-m", "hydra/launcher=joblib", "seed=0,1"]) == 2
        assert capsys.readouterr().err == f"msda-train: {told}\n"


def test_an_option_that_all_swept_methods_have(small, capsys):
    """Hydra would look for it in the method that is not swept, ERM, which has no alpha."""
    assert main(["-m", "method=mixup,cutmix", "method.alpha=0.2", *small("method.prob=1.0")]) == 0
    out = capsys.readouterr().out
    assert "mixup alpha=0.2" in out
    assert "cutmix alpha=0.2 prob=1.0" in out


def test_of_swept_groups():
    words = ["method=mixup,cutmix", "method.alpha=0.2", "method.depths=[0,1]", "seed=1", "model.width=4"]
    made = of_swept_groups(words)
    assert made == [words[0], "method.alpha=choice(0.2)", "method.depths=choice([0,1])", *words[3:]]
    alone = ["method=mixup", "method.alpha=0.1,0.2"]
    assert of_swept_groups(alone) == alone
    assert of_swept_groups(["method=a,b", "method.x=]"]) == ["method=a,b", "method.x=]"]
    assert of_swept_groups(["method=a,b", "~method.alpha", "++method.x=1"])[1:] == [
        "~method.alpha",
        "++method.x=choice(1)",
    ]
