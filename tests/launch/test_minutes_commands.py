"""`plan --minutes` and `run --minutes` as one types them: the plan by made-up speeds, real small runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import msda_train
from msda_train.cli.commands import minutes_options, plan_command, run_command
from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError
from msda_train.launch import child
from msda_train.launch.half_done import epochs_done
from msda_train.launch.stated import WORDS as STATED
from msda_train.launch.stated import stated_estimates
from msda_train.records.bench import OnGpu
from msda_train.records.rows import load_rows, write_row
from msda_train.reporting.grid import draw
from msda_train.reporting.table_view import cells_grid

FACTS = {
    "device": "cpu",
    "device_name": "Made-up CPU",
    "precision": "fp32",
    "compile": False,
    "threads": 1,
    "train_images": 60,
    "test_images": 30,
    "start_seconds": 4.0,
}
# 2 epochs of 60 + 30/3 images in steps of 25: 5.6 steps of 5 s, and 4 s to start: 32 s.
STEP = {"step_seconds": 5.0, "steps": 3}
CALL = "import sys; from msda_train.cli.table import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def asked(monkeypatch):
    """Speeds as above, of whatever is asked; how often each kind was."""
    calls = []

    def ask(groups, measure, most=0.0):
        calls.append(measure)
        return [{**FACTS, **(STEP if measure else {})} for _ in groups]

    monkeypatch.setattr(minutes_options, "ask_speed", ask)
    return calls


@pytest.fixture
def go(published, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(command, *words):
        code = command.main(["--published", "published", *small, *words])
        return code, *capsys.readouterr()

    return run


def _row(plan, make_row, tmp_path, small, number, seed):
    """A finished run of the configuration `number` of the table."""
    job = next(
        job
        for job in plan(seed, extra=tuple(small)).jobs
        if job.configuration is plan(seed, extra=tuple(small)).configurations[number]
    )
    write_row(tmp_path / "runs" / f"{job.fingerprint}-00000000" / f"s{seed}" / "row.json", make_row(job))
    return job


def test_two_verdicts_of_one_configuration_come_first(go, asked):
    """Error and NLL of erm are two cells of the same two runs; mixup has one. 90 - 8 s hold two."""
    code, out, _ = go(plan_command, "--minutes", "1.5")
    assert code == 0
    lines = out.splitlines()
    said = "2 runs, about 64 s; a variation of 2 published cells"
    assert lines[0] == f"# 1.5 min on Made-up CPU (fp32, threads=1): {said}"
    assert "not the published configuration" in lines[1]
    commands = [line for line in lines if line.startswith("msda-train ")]
    assert [("method=erm" in line, line.split()[-1]) for line in commands] == [
        (True, "seed=0"),
        (True, "seed=1"),
    ]
    (chosen,) = [line for line in lines if line.startswith("# CIFAR-10, PreActResNet-18, None")]
    assert "decides tiny/table1/1, tiny/table1/2: 32 s and 32 s, from 3 measured steps of 5 s" in chosen
    (later,) = [line for line in lines if line.startswith("# next: ")]
    assert "decides tiny/table1/3" in later
    assert lines[-1].startswith("# run them: msda-table run ")
    assert "--minutes 1.5" in lines[-1]
    assert "--seeds" not in lines[-1]
    assert asked == [False, True]


def test_half_a_verdict_is_finished_first(go, asked, plan, make_row, tmp_path, small):
    """With one seed of mixup there, one run decides a cell: with time for three runs, it comes first."""
    _row(plan, make_row, tmp_path, small, 1, 7)
    _, out, _ = go(plan_command, "--minutes", "2")
    commands = [line for line in out.splitlines() if line.startswith("msda-train ")]
    assert ["method=mixup" in line for line in commands] == [True, False, False]
    assert "3 runs, about 96 s; a variation of 3 published cells\n" in out
    _, out, _ = go(plan_command, "--minutes", "1.1", "method=mixup")
    assert "1 run, about 32 s; a variation of 1 published cell\n" in out


def test_the_time_that_is_left_goes_to_one_run(go, asked):
    _, out, _ = go(plan_command, "--minutes", "2")
    assert "3 runs, about 96 s; a variation of 2 published cells\n" in out
    assert "# time is left for one run, which decides nothing yet: CIFAR-10, PreActResNet-18, Input" in out


def test_what_a_checkpoint_holds_is_not_counted_again(go, asked, plan, tmp_path, monkeypatch):
    monkeypatch.setattr("msda_train.launch.claims.Disk.epochs_done", lambda self, job: job.seed)
    _, out, _ = go(plan_command, "--minutes", "1.5", "--seeds", "0,1")
    # 4 s to start and half of 28 s; then a whole run.
    assert "18 s (1 of 2 epochs are done) and 32 s" in out


def test_words_choose(go, asked):
    _, out, _ = go(plan_command, "--minutes", "5", "method=mixup")
    assert "a variation of 1 published cell\n" in out
    _, out, _ = go(
        plan_command,
        "tiny",
        "--minutes",
        "5",
        "method=erm,mixup",
        "experiment=manifold_cifar10_preactresnet18",
    )
    assert "a variation of 3 published cells\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "abc"], "--minutes abc: must be a number of minutes; type --minutes 12"),
        (["--minutes", "-3"], "--minutes -3: must be"),
        (["--minutes", "0"], "--minutes 0: must be"),
        (["--minutes", "nan"], "--minutes nan: must be"),
        (["--minutes", "1e9"], "--minutes 1e9: must be"),
        (["--minutes", "0.3"], "too short for any run, the shortest takes about 32 s here; type --minutes 2"),
        (["--minutes", "9", "--seeds", "0"], "nothing to run: 3 cells: a verdict needs two seeds"),
        (["--minutes", "9", "method=mixpu"], "method=mixpu: no published cell has it; did you mean 'mixup'"),
        (["--minutes", "9", "method=erm,cutmix"], "no published cell has method=cutmix"),
        (["--minutes", "9", "tyni"], "there is no paper 'tyni'; did you mean 'tiny'"),
        (["--minutes", "9", "recipe.epohcs=2"], "did you mean 'recipe.epochs'"),
        (["--minutes", "9", "seed=1"], "seed=1: not here; type --seeds 0-4"),
        ([], r"which table\? type: msda-table (plan|run) PAPER/TABLE, or msda-table (plan|run) --minutes 12"),
    ],
)
@pytest.mark.parametrize("command", [plan_command, run_command])
def test_bad_words_cost_one_line_and_nothing_is_made(go, asked, tmp_path, command, words, message):
    with pytest.raises(UserError, match=message) as error:
        go(command, *words)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_data_that_are_not_here_are_left_out(go, asked, published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--published", "published", "--minutes", "9", f"dataset.cache={tmp_path / 'empty'}", "threads=1"]
    words += [f"dataset.root={tmp_path / 'none'}"]
    with pytest.raises(
        UserError, match="no data are at hand: 3 cells: cifar10 is not prepared here; type: msda-"
    ):
        plan_command.main(words)
    assert asked == []


def test_a_gpu_that_is_not_here_is_estimated_and_said_so(go, plan, monkeypatch):
    absent = {"error": "device=cuda: torch sees no CUDA device here; type device=cpu or device=auto"}
    ask = lambda groups, measure, most=0.0: [  # noqa: E731
        absent if "device=cuda" in group else FACTS for group in groups
    ]
    monkeypatch.setattr(minutes_options, "ask_speed", ask)
    monkeypatch.setattr("msda_train.launch.estimate.ask_speed", ask)
    with pytest.raises(UserError, match="the benchmark has no model=preactresnet18 on such images"):
        go(plan_command, "--minutes", "9", "--device", "cuda")  # digits
    with pytest.raises(UserError, match="torch sees no CUDA device here"):
        go(run_command, "--minutes", "9", "--device", "cuda")
    (each, _) = plan(0, extra=["threads=1"]).configurations
    here = {
        each.fingerprint: minutes_options.Estimate(None, "not measured", FACTS | {"train_images": 50_000})
    }
    made = stated_estimates([each], here, {"preactresnet18": OnGpu(2e-5, "somebody's word")})
    # A second for 50,000 images, 1200 epochs, and 10 s to start
    assert made[each.fingerprint].seconds == pytest.approx(1210)
    assert made[each.fingerprint].source == "by somebody's word"
    assert "not a measurement" in STATED


def test_it_runs_and_keeps_and_says_what_is_new(go, asked, tmp_path):
    code, out, err = go(run_command, "--minutes", "5", "--keep", "kept", "method=mixup")
    assert code == 0, out + err
    assert out.endswith("5 min: 2 runs finished\n")
    assert "  mixup         2 " in out
    assert "not the published configuration" in err
    assert len(load_rows([tmp_path / "kept"])[0]) == len(load_rows([tmp_path / "runs"])[0]) == 2
    # Another machine, which has only what was kept: nothing is left to do there.
    with pytest.raises(UserError, match="nothing to run"):
        go(run_command, "--minutes", "5", "--keep", "kept", "method=mixup", "--runs", "others")


def test_keep_goes_without_minutes_too(go, tmp_path):
    code, _, _ = go(run_command, "tiny/table1", "--keep", "kept")
    assert (code, len(load_rows([tmp_path / "kept"])[0])) == (0, 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--keep file: cannot be written"):
        go(run_command, "tiny/table1", "--keep", "file")


def test_not_with_a_launcher(go, tmp_path):
    for words in (["--minutes", "5"], ["tiny/table1", "--keep", "kept"]):
        with pytest.raises(UserError, match=r"--(minutes|keep): not with --launcher"):
            go(run_command, "--launcher", "local", *words)
    assert not (tmp_path / "kept").exists()


def test_cells_with_new_rows_are_shown_with_their_verdicts(rows, papers):
    found = compare(papers, lines_frame(rows))
    ours = found[found["rows"].map(bool)]
    drawn = draw([cells_grid(ours)], "text")
    assert len(ours) > 0
    assert all(word in drawn for word in [*ours["id"], *ours["verdict"]])


def test_failures_end_in_exit_code_1(go, asked, monkeypatch):
    script = [sys.executable, "-S", "-c", "import sys; sys.exit('msda-train: no')"]
    monkeypatch.setattr(child, "module_command", lambda module, words: script)
    code, out, _ = go(run_command, "--minutes", "5", "method=mixup")
    assert code == 1
    assert out.count("\n  failed: msda-train: no") == 2
    assert "0 runs finished; 2 failed (logs in runs/logs; again with --retry)" in out
    with pytest.raises(UserError, match="runs of theirs have failed; type --retry"):
        go(run_command, "--minutes", "5", "method=mixup")


def test_sigterm_saves_an_epoch_and_ends_with_the_table(published, small, tmp_path):
    """A process of its own, speeds measured: it is told to stop in its run, and the same command goes on."""
    words = ["--minutes", 20, "--published", published, *small, "method=mixup", "recipe.epochs=400"]
    command = [sys.executable, "-c", CALL, "run", *map(str, words), "--keep", "kept"]
    env = os.environ | {"PYTHONPATH": str(Path(msda_train.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    planner = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 300
    while time.monotonic() < end and planner.poll() is None and not list((tmp_path / "runs").rglob("*.pt")):
        time.sleep(0.05)
    planner.send_signal(signal.SIGTERM)
    out, err = planner.communicate(timeout=120)
    assert planner.returncode == 143, out + err
    assert out == "20 min: 0 runs finished; 1 stopped, the same command goes on from the last checkpoint\n"
    (path,) = (tmp_path / "runs").rglob("checkpoint.pt")
    assert 0 < epochs_done(path, path.parts[-3].partition("-")[0]) < 400
