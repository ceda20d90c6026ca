"""`msda-table run --launcher`: workers of other engines on one plan, killed and pre-empted in the middle."""

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from process_tree import below
from without_times import measured

import msda_train
from msda_train.cli.commands import launcher_options
from msda_train.cli.commands.run_command import main
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.launch import elsewhere
from msda_train.training.train import train

PROGRAM = "import sys; from msda_train.cli.table import main; sys.exit(main())"
EPOCHS = "recipe.epochs=30"
SLURM = Path(__file__).parents[1] / "stored" / "slurm"  # programs that stand for it
HAS_SUBMITIT = importlib.util.find_spec("submitit") is not None
HAS_RAY = importlib.util.find_spec("ray") is not None
needs_submitit = pytest.mark.skipif(not HAS_SUBMITIT, reason="without submitit")
ENGINES = [
    pytest.param("local", marks=needs_submitit),
    pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="without ray")),
]


@pytest.fixture
def start(published, small, tmp_path):
    """Starts the command as a user does; none of it is left when a test ends."""
    started = []

    def run(*words, path=""):
        source = str(Path(msda_train.__file__).parents[1])
        env = os.environ | {"PYTHONPATH": source, "PATH": path + os.environ["PATH"]}
        words = ["run", "tiny/table1", "--published", "published", *small, *words]
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", PROGRAM, *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield run
    _end(started)


@pytest.fixture
def straight(plan, small, tmp_path):
    """What is measured in the same runs, one after another in this process."""

    def run(*seeds):
        torch.set_num_threads(1)
        runs = tmp_path / "straight"
        for job in plan(*seeds, extra=[*small, EPOCHS]).jobs:
            names = dict.fromkeys(("dataset", "model", "method", "recipe", "experiment"))
            train(compose(*job.words(str(runs))), names, lambda line: None)
        return measured(runs)

    return run


def _end(started):
    for process in started:
        for pid in [*below(process.pid), process.pid] if process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ValueError):  # communicated already
            process.communicate()


def _workers(process, runs):
    """Once two runs are in training: the processes of each worker, its own first."""
    while len(list(runs.rglob("checkpoint.pt"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    planners = [int(log.stem.rpartition("-")[2]) for log in (runs / "workers").glob("*-*.log")]
    return [[pid, *below(pid)] for pid in planners]


@pytest.mark.parametrize("launcher", ENGINES)
def test_a_killed_worker_leaves_its_run_to_the_others(start, straight, tmp_path, launcher):
    process = start("--launcher", launcher, "--workers", "2", "--seeds", "0-1", EPOCHS)
    (first, *_), _ = _workers(process, tmp_path / "runs")
    os.kill(first, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out.splitlines()[-1]) == (0, "tiny/table1: 4 of 4 runs done"), err
    assert (launcher == "local") == (": died (" in err)  # Ray starts it again
    assert "Traceback" not in err
    assert measured(tmp_path / "runs") == straight(0, 1)


@needs_submitit
def test_a_preempted_worker_is_requeued(start, straight, tmp_path):
    """Slurm warns every process of the job; the first asks for another go, and the trainers save."""
    process = start("--launcher", "local", "--workers", "2", "--seeds", "0", EPOCHS)
    first, _ = _workers(process, tmp_path / "runs")
    for pid in first:
        os.kill(pid, signal.SIGUSR2)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "tiny/table1: 2 of 2 runs done\n"), err
    assert ": died (" not in err
    told = "".join(path.read_text() for path in (tmp_path / "runs" / "workers").rglob("*.err"))
    assert "preempted" in told
    assert measured(tmp_path / "runs") == straight(0)


@needs_submitit
def test_an_interrupt_ends_the_workers(start, tmp_path):
    process = start("--launcher", "local", "--workers", "2", "recipe.epochs=100000")
    workers = _workers(process, tmp_path / "runs")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "msda-table: stopped with 0 of 2 runs done; the same command goes on"
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for worker in workers for pid in worker):
        assert time.monotonic() < end
        time.sleep(0.05)


@needs_submitit
def test_jobs_of_slurm(start, tmp_path):
    words = ["--gpus", "2", "--slurm", "partition=long", "--slurm", "time=90", "--slurm", "account=us"]
    words += ["--devices", "cpu"]  # there is no GPU here
    process = start("--launcher", "slurm", "--workers", "2", *words, path=f"{SLURM}:")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "tiny/table1: 2 of 2 runs done\n"), err
    asked = (tmp_path / "sbatch.txt").read_text()
    for line in ("partition=long", "time=90", "account=us", "gpus-per-node=2", "nodes=1", "array=0-1%2"):
        assert f"#SBATCH --{line}\n" in asked
    assert "#SBATCH --requeue\n" in asked
    assert "started 77_0, 77_1; logs in " in err


@pytest.mark.parametrize("time_is_up", [False, True])
def test_the_script_in_the_docs(published, tmp_path, small, time_is_up):
    """As it stands there. When the time is up the trainers save, and it waits in the queue again."""
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    script = page.partition("```bash\n")[2].partition("```")[0]
    source = str(Path(msda_train.__file__).parents[1])
    for name, text in (
        (".venv/bin/activate", f"export PYTHONPATH={source} PATH={tmp_path}/bin:$PATH"),
        ("bin/msda-table", f'#!/bin/bash\nexec {sys.executable} -c "{PROGRAM}" "$@"'),
        ("bin/srun", '#!/bin/bash\nexec "$@"'),
        ("bin/scontrol", '#!/bin/bash\necho scontrol "$@"'),
        ("slurm.sh", script),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    epochs = "recipe.epochs=100000" if time_is_up else "recipe.epochs=2"
    words = ["tiny/table1", "--published", "published", *small, epochs]
    env = os.environ | {"SLURM_JOB_ID": "79"}
    process = subprocess.Popen(
        ["bash", "slurm.sh", *words], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    if time_is_up:
        while not list((tmp_path / "runs").rglob("checkpoint.pt")):
            assert process.poll() is None
            time.sleep(0.02)
        for pid in below(process.pid):  # all of the job's step
            os.kill(pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert out == ("scontrol requeue 79\n" if time_is_up else "tiny/table1: 2 of 2 runs done\n")


def test_the_words_of_a_worker(published, small, tmp_path, monkeypatch):
    """It has the words typed, and the GPUs and threads that it was given, unless somebody said."""
    monkeypatch.chdir(tmp_path)
    asked = []

    class Nobody:
        names = ()

        def look(self):
            return {}

    def open_pool(request, worker):
        asked.append((request, worker.words))
        return Nobody()

    monkeypatch.setattr(launcher_options, "open_pool", open_pool)
    words = ["tiny/table1", "--published", "published", *[word for word in small if "threads" not in word]]
    assert main([*words, "--launcher", "ray", "--workers", "3", "--gpus", "2", "--cpus", "8"]) == 1
    (request, told), *_ = asked
    assert (request.workers, request.gpus, request.cpus) == (3, 2, 8)
    assert told[told.index("--devices") + 1] == "cuda:0,cuda:1"
    assert told[-1] == "threads=4"
    assert "--launcher" not in told
    assert main([*words, "--launcher", "ray", "--gpus", "2", "--devices", "cuda:1", "threads=3"]) == 1
    told = asked[1][1]
    assert told.count("--devices") == 1
    assert [word for word in told if word.startswith("threads")] == ["threads=3"]


def test_a_folder_that_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker = elsewhere.Worker(["tiny/table1"], Path("runs"))
    worker.sign.unlink()
    code, line = worker()
    assert code == 2
    assert line.startswith(f"--runs {tmp_path}/runs: not shared, ")
    assert line.endswith("has another folder there; type --runs FOLDER")
    worker.home = tmp_path / "nowhere"
    assert worker() == (2, line_of(worker.home))


def line_of(home):
    here = os.uname().nodename
    return f"{home}: not on the machine {here}; type the command in a folder that both share"


@pytest.mark.parametrize("lasts", [2, 100])
def test_a_file_system_that_is_away(tmp_path, monkeypatch, lasts):
    """For a minute: the command is started again, and goes on from its checkpoints. For long: it ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(elsewhere, "AWAY_SECONDS", 0)
    worker = elsewhere.Worker([], Path("runs"))
    code = (
        "import os, sys; count = len(open('tries').read()); open('tries', 'a').write('x')\n"
        f"count < {lasts} and sys.exit('msda-table: x: cannot be written ({os.strerror(errno.ESTALE)})')\n"
        "print('tiny/table1: 2 of 2 runs done')"
    )
    (tmp_path / "tries").write_text("")
    monkeypatch.setattr(elsewhere, "module_command", lambda *_: [sys.executable, "-S", "-c", code])
    ended = worker()
    if lasts == 2:
        assert ended == (0, "tiny/table1: 2 of 2 runs done")
    else:
        assert ended == (1, "msda-table: x: cannot be written (Stale file handle)")
    assert len((tmp_path / "tries").read_text()) == min(lasts + 1, elsewhere.TRIES)


def test_what_went_wrong_everywhere_is_bad_input(published, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Pool:
        names = ("a", "b")

        def look(self):
            return {"a": (2, "msda-table: --runs runs: not shared"), "b": (1, "died")}

    monkeypatch.setattr(launcher_options, "open_pool", lambda request, worker: Pool())
    monkeypatch.setattr(launcher_options, "LOOK_SECONDS", 0)
    with pytest.raises(UserError, match=r"^--runs runs: not shared$"):
        main(["tiny/table1", "--published", "published", *small, "--launcher", "ray"])


@pytest.mark.skipif(not HAS_RAY, reason="without ray")
def test_more_gpus_than_ray_has(start, tmp_path):
    process = start("--launcher", "ray", "--gpus", "64")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert (
        "msda-table: --launcher ray: --gpus 64: no machine of this cluster has so many; type --gpus 0" in err
    )
    assert not list(tmp_path.rglob("sign-*"))


@needs_submitit
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--workers", "2"], "--workers: without --launcher nobody reads it; type --launcher slurm"),
        (["--slurm", "time=9"], "--slurm: without --launcher nobody reads it"),
        (["--launcher", "local", "--slurm", "time=9"], "--slurm time=9: --launcher local does not read it"),
        (["--launcher", "slurm", "--slurm", "partitoin=x"], "--slurm partitoin=x: .*mean 'partition'"),
        (
            ["--launcher", "slurm", "--slurm", "partition"],
            "--slurm partition: cannot be read; type KEY=VALUE",
        ),
        (["--launcher", "slurm", "--slurm", "time=4h"], "--slurm time=4h: must be minutes"),
        (["--launcher", "local", "--workers", "0"], "--workers 0: must be a whole number, 1 to 1000"),
        (["--launcher", "slurm"], "--launcher slurm: Could not detect"),
        (["--launcher", "slrum"], "invalid choice: 'slrum'"),
    ],
)
def test_bad_words(published, small, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=line):
        main(["tiny/table1", "--published", "published", *small, *words])
    assert not [path for path in tmp_path.rglob("runs/*") if path.name != "workers"]
    assert not list(tmp_path.rglob("sign-*"))


@pytest.mark.parametrize(
    ("launcher", "package"), [("local", "submitit"), ("slurm", "submitit"), ("ray", "ray")]
)
def test_a_package_that_is_missing(published, small, tmp_path, monkeypatch, launcher, package):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    extra = "ray" if package == "ray" else "slurm"
    told = rf"^--launcher {launcher}: its package is missing; type pip install 'msda-train\[{extra}\]'$"
    with pytest.raises(UserError, match=told):
        main(["tiny/table1", "--published", "published", *small, "--launcher", launcher])
