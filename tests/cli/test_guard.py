"""Every command ends with its exit code and one line, whatever becomes of its streams and folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import msda_train

MODULES = ("train", "table", "data", "probe", "plot", "export")
LISTING = {"train": ["--cfg", "job"], "table": ["list"], "data": ["list"]}


def _shell(module, words, streams="", cwd=None, before="", **environment):
    """(exit code, stdout, stderr) of a command in a shell, where its streams can be bent."""
    command = f"import sys; from msda_train.cli.{module} import main; sys.exit(main())"
    line = f'{before} exec "$0" -P -c "$1" "${{@:2}}" {streams}'
    settings = {**os.environ, "PYTHONPATH": str(Path(msda_train.__file__).parents[1]), **environment}
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, command, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=settings,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", LISTING)
def test_a_full_output_is_one_line(module, tmp_path):
    code, _, err = _shell(module, LISTING[module], ">/dev/full", tmp_path)
    assert code == 2
    assert err.count("\n") == 1
    assert "the output cannot be written (No space left on device)" in err


@pytest.mark.parametrize("module", MODULES)
def test_closed_streams_are_nobodys_business(module, tmp_path):
    words = LISTING.get(module, ["--help"])
    assert _shell(module, words, "<&- >&- 2>&-", tmp_path)[0] == 0


def test_a_closed_output_does_not_end_up_in_a_file_of_the_run(small_run, tmp_path):
    code, _, err = _shell("train", [*small_run, "-m", "seed=0,1"], ">&-", tmp_path)
    assert code == 0, err
    assert "2 of 2 jobs complete" in err
    assert _shell("table", ["verify", str(next(tmp_path.rglob("s0")))], "", tmp_path)[0] == 0


@pytest.mark.parametrize("module", LISTING)
def test_a_reader_who_has_seen_enough(module, tmp_path):
    code, _, err = _shell(module, LISTING[module], "| true; exit ${PIPESTATUS[0]}", tmp_path)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_that_is_gone(module, small_run, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    words = small_run if module == "train" else LISTING.get(module, ["runs", "all"])
    code, _, err = _shell(module, words, "", gone, f"rmdir {gone};")
    assert "Traceback" not in err
    assert code in (0, 2)
    if module == "train":
        assert "the folder you stand in is gone" in err


def test_nobody_without_a_home(small_run, tmp_path):
    """No HOME, and no entry among the users: an id that nobody has. What needs no home works."""
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    environment["PYTHONPATH"] = str(Path(msda_train.__file__).parents[1])

    def run(module, *words):
        nobody = "import pwd, sys; pwd.getpwuid = lambda number: {}[number]"
        program = f"{nobody}; from msda_train.cli.{module} import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        return done.returncode, done.stderr

    assert run("data", "list") == (0, "")
    assert run("train", *small_run)[0] == 0
    without_cache = [word for word in small_run if not word.startswith("dataset.cache=")]
    code, err = run("train", *without_cache)
    assert code == 2
    assert "type dataset.cache=FOLDER" in err
    code, err = run("train", *small_run, "runs=~/x")
    assert (code, err.strip().splitlines()[-1]) == (
        2,
        "msda-train: runs=~/x: there is no such home folder; type the whole path",
    )
