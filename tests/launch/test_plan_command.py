"""`msda-table plan`: its text, which is a shell script, and what it says to bad words."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from msda_train.cli.commands.plan_command import main
from msda_train.core.errors import UserError
from msda_train.launch import asking, estimate
from msda_train.launch.estimate import duration
from msda_train.records.rows import write_row

GOLDEN = Path(__file__).parent / "golden_plan.txt"
SILENT = "not measured within 0.5 s"
FACTS = {
    "device": "cpu",
    "device_name": "Made-up CPU",
    "precision": "fp32",
    "compile": False,
    "threads": 2,
    "train_images": 60,
    "test_images": 30,
    "start_seconds": 5.0,
}


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the speed program, which is not started."""
    calls = []

    def ask(groups, measure):
        calls.append((groups, measure))
        return [{**FACTS, **({"step_seconds": 2.5, "steps": 3} if measure else {})} for _ in groups]

    monkeypatch.setattr(estimate, "ask_speed", ask)
    return calls


@pytest.fixture
def go(published, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["tiny/table1", "--published", "published", *words])
        return code, *capsys.readouterr()

    return run


WORDS = ["dataset=digits", "recipe=smoke", "dataset.subset=60", "recipe.batch_size=25", "threads=2"]


def test_the_text(go, asked, plan, make_row, tmp_path):
    first, second = plan(0, extra=WORDS).jobs
    row = make_row(first)  # 31.5 s for 2 epochs of 1437 images
    row["environment"] |= {"device_name": "Made-up CPU"}
    write_row(tmp_path / "runs" / f"{first.fingerprint}-abcdef00" / "s0" / "row.json", row)
    failed = tmp_path / "runs" / "failed" / second.fingerprint / "s0" / "failure.json"
    failed.parent.mkdir(parents=True)
    failed.write_text(json.dumps({"command": "msda-train", "exit_code": 1, "last": ["no"], "when": "x"}))
    code, out, _ = go("--seeds", "0-1", *WORDS)
    assert code == 0
    assert out == GOLDEN.read_text()
    assert [measure for _, measure in asked] == [False]  # the other cell's row is of the same model


def test_it_is_a_shell_script(go, asked, tmp_path):
    _, out, _ = go("--seeds", "0,2", "runs=some runs", *WORDS)
    script = f"msda-train() {{ printf '%s|' \"$@\"; echo; }}\n{out}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert (len(lines), done.stderr) == (4, "")
    assert lines[1].endswith("|method=erm|" + "|".join(WORDS) + "|seed=2|runs=some runs|")


def test_one_probe_for_each_model_and_batch_size(go, asked):
    _, out, err = go("--seeds", "0-4")
    (_, facts), (groups, measured) = asked[0], asked[1]
    assert (facts, measured, len(groups)) == (False, True, 1)
    assert "experiment=manifold_cifar10_preactresnet18 method=erm seed=4" in out
    assert "not the published configuration" not in out
    # 1200 epochs of 60 + 30/3 images, 100 a step of 2.5 s, and 5 s to start
    assert out.count("about 35 min each, from 3 measured steps of 2.5 s") == 2
    assert "10 runs: about 5 h 51 min one after another on Made-up CPU (fp32, threads=2)" in out
    assert "measuring" in err


def test_no_probe_says_unknown(go, asked):
    _, out, err = go("--no-probe")
    assert out.count("time unknown (not measured)") == 2
    assert "2 runs, time unknown" in out
    assert [measure for _, measure in asked] == [False]
    assert err == ""


def test_jobs_and_devices_are_in_the_commands(go, asked):
    _, out, _ = go("--devices", "cuda:0,cuda:1", "--jobs", "2", "threads=3")
    assert "method=erm threads=3 seed=0 device=cuda:0" in out
    assert "threads=3 seed=0 device=cuda:1" in out
    assert "msda-table run tiny/table1 --seeds 0 --jobs 2 --devices cuda:0,cuda:1" in out


def test_nothing_is_missing(go, asked, plan, make_row, tmp_path):
    for job in plan(0, extra=WORDS).jobs:
        write_row(tmp_path / "results" / "rows" / "x" / f"{job.key}.json", make_row(job))
    code, out, _ = go(*WORDS)
    assert (code, asked) == (0, [])
    assert out.endswith("2 runs: 2 done, 0 missing\n" + out.splitlines()[2] + "\n\n# nothing is missing\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "4-0"], "runs backwards"),
        (["recipe.epohcs=2"], r"recipe.epohcs: no such option; did you mean 'recipe.epochs'\?"),
        (["dataset=digts"], r"dataset=digts: unknown; did you mean 'digits'\?"),
        (["+sede=1"], r"\+sede=1: no such option; did you mean 'seed'\?"),
        (["seed=1"], "seed=1: not here; type --seeds 0-4"),
        (["method=mixup"], "method=mixup: not here"),
        (["epochs"], "epochs: cannot be read; type OPTION=VALUE"),
        (["method.alpha=1,2"], "method.alpha=1,2: several values where one is wanted; msda-train -m makes"),
        (["runs=a", "--runs", "b"], "type one of them"),
        (["--devices", "gpu0"], "type --devices cuda:0,cuda:1"),
        (["--devices", "cpu,cpu"], "type --devices cuda:0,cuda:1"),
        (["--devices", "cpu", "device=cpu"], "type one of them"),
        (["--jobs", "0"], "--jobs 0: must be"),
        (["--jobs", "x"], "invalid int value: 'x'; type: msda-table plan --help"),
        (["--typo"], "unrecognized arguments: --typo"),
    ],
)
def test_bad_words_cost_one_line(go, words, message):
    with pytest.raises(UserError, match=message) as error:
        go(*words)
    assert "\n" not in str(error.value)


def test_tables_that_cannot_be_planned(published, tmp_path):
    with pytest.raises(UserError, match="did you mean 'table1'"):
        main(["tiny/tabel1", "--published", str(published)])
    with pytest.raises(UserError, match="there are no published files in"):
        main(["tiny/table1", "--published", str(tmp_path / "none")])
    path = published / "tiny.yaml"
    path.write_text(path.read_text().replace("method: erm}", "method: erm, not_runnable: why}"))
    path.write_text(path.read_text().replace("[method.alpha=1.0]}", "[method.alpha=1.0], not_runnable: so}"))
    with pytest.raises(UserError, match="none of its cells can be run: why"):
        main(["tiny/table1", "--published", str(published)])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (99, "99 s"),
        (150, "2 min"),
        (5000, "83 min"),
        (12000, "3 h 20 min"),
        (7200, "2 h"),
        (200000, "2 d 7 h"),
        (259200, "3 d"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_probe_that_dies_is_no_answer(monkeypatch):
    monkeypatch.setattr(asking, "module_command", lambda module, words: ["bash", "-c", "echo oh >&2; exit 3"])
    assert asking.ask_speed([["a"], ["b"]], measure=True) == [{"error": "the probe ended early: oh"}] * 2


def test_a_probe_that_takes_too_long_is_left_behind(monkeypatch, capsys):
    """Each network is told as soon as it is measured; one that hangs costs its own time only."""
    full, rough = json.dumps({"step_seconds": 2.0}), json.dumps({"rough": True, "step_seconds": 9.0})
    monkeypatch.setattr(asking, "MOST_SECONDS", 0.5)
    hangs = {"rough": f"echo '{rough}'; exec sleep 60", "silent": "exec sleep 60", "fine": f"echo '{full}'"}

    def command(module, words):
        return ["bash", "-c", ";".join(hangs[word] for word in words if word != "--")]

    monkeypatch.setattr(asking, "module_command", command)
    began = time.monotonic()
    answers = asking.ask_speed([["fine"], ["rough"], ["silent"], ["fine"]], measure=True)
    assert time.monotonic() - began < 30
    assert answers == [json.loads(full), json.loads(rough), {"error": SILENT}, json.loads(full)]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("msda-table: ")]
    assert told == [
        "msda-table: fine: 2 s a step",
        "msda-table: rough: roughly 9 s a step",
        f"msda-table: silent: {SILENT}",
        "msda-table: fine: 2 s a step",
    ]


def test_a_rough_estimate_says_so(plan):
    (each,) = plan(0, extra=WORDS).configurations[:1]
    answer = {"rough": True, "step_seconds": 2.5, "steps": 1, "images": 2}
    found = estimate._from_step(each, answer, FACTS)
    assert found.source.startswith("roughly, from one step on 2 images")
    assert found.seconds == pytest.approx(2.5 / 25 * (60 + 30 / 3) * each.epochs + 5)
