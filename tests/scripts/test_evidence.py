"""`make evidence`: what is missing, what is bounded, and the whole of it with a tiny network."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import msda_train
from msda_train.records.rows import load_rows

REPO = Path(__file__).resolve().parents[2]
KEEP = f"evidence: --keep {__file__}"
ANSWER = "import nobody_has_this; print(nobody_has_this.answer)"
TINY = [
    "manifold_mixup/table1a",
    "model=preactresnet18",
    "dataset=digits",
    "recipe=smoke",
    "model.width=4",
    "model.blocks=[1,1]",
    "recipe.batch_size=50",
    "threads=1",
    "precision=fp32",
]


@pytest.fixture
def evidence(load_script):
    return load_script("evidence")


def test_what_is_missing_is_told_and_nothing_is_installed(evidence, capsys):
    assert evidence.missing(["numpy>=1.26", "nobody-has-this>=2"]) == ["nobody-has-this>=2"]
    assert evidence.missing(evidence.dependencies()) == []
    with pytest.raises(SystemExit) as end:
        evidence.equipped(["nobody-has-this>=2"], None)
    assert end.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("evidence: missing here; type: ")
    wheels = "or with their wheels in a folder: --wheels FOLDER"
    assert line.endswith(f"-m pip install 'nobody-has-this>=2', {wheels}\n")
    with pytest.raises(SystemExit):
        evidence.equipped(["torch>=2.11"], Path("wheels"))  # of torch there are many; no guess is made
    assert "--wheels" not in capsys.readouterr().err


@pytest.mark.slow
def test_wheels_are_installed_beside_what_is_there(evidence, tmp_path, monkeypatch):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "nobody_has_this-2.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nobody_has_this.py", "answer = 42\n")
        info = "nobody_has_this-2.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nobody-has-this\nVersion: 2.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setattr(evidence, "PLACE", tmp_path / "place")
    python = evidence.equipped(["nobody-has-this>=2"], wheels)
    said = subprocess.run([python, "-c", ANSWER], capture_output=True, text=True)
    assert said.stdout == "42\n"
    with pytest.raises(SystemExit):
        evidence.equipped(["nobody-has-that>=2"], wheels)


def test_everything_said_is_logged_and_what_takes_too_long_is_ended(evidence, tmp_path, capsys):
    log = evidence.Log(tmp_path / "log", time.monotonic())
    code = "print('on stdout', flush=True); import sys; print('on stderr', file=sys.stderr); sys.exit(3)"
    assert log.run([sys.executable, "-S", "-c", code], 60.0) == 3
    assert log.last == "on stderr"
    began = time.monotonic()
    slow = "import os, time; os.fork(); time.sleep(60)"
    assert log.run([sys.executable, "-S", "-c", slow], 1.0) is None  # its own child, too
    assert time.monotonic() - began < 30
    assert log.run([sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 11)"], 60.0) == -11
    text = (tmp_path / "log").read_text()
    assert text == capsys.readouterr().out
    assert "on stdout\non stderr\n" in text
    log.close()


def _typed(tmp_path, *words):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(msda_train.__file__).parents[1])}
    command = [sys.executable, str(REPO / "scripts" / "evidence.py"), *words]
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--minutes", "soon"], "evidence: --minutes soon: must be a number of minutes; type --minutes 12\n"),
        (["--keep", __file__], f"{KEEP}: cannot be written (File exists); type --keep FOLDER\n"),
    ],
)
def test_bad_input_is_one_line(tmp_path, words, line):
    done = _typed(tmp_path, *words)
    assert (done.returncode, done.stderr) == (2, line)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_rehearsal(tmp_path):
    done = _typed(tmp_path, "--minutes", "5", "--keep", "kept", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    rows, complaints = load_rows([tmp_path / "kept"])
    assert (len(rows), complaints) == (6, [])
    assert all(row.environment["device_name"] for row in rows)
    log = (tmp_path / "kept" / "evidence.log").read_text()
    assert log == done.stdout
    assert "chosen: " in log
    assert "6 runs finished\n" in log
