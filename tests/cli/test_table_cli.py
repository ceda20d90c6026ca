"""`msda-table` as a person types it: what it says, its exit code, and that it never loads torch."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import msda_train

ROWS = Path(__file__).parents[1] / "stored" / "rows"
SMALL = ROWS / "digits-preactresnet18-smoke"
CALL = """
import sys
sys.argv[0] = "msda-table"
from msda_train.cli.table import main
try:
    sys.exit(main())
finally:
    assert "torch" not in sys.modules, "torch"
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Run the command in a folder, with a home of its own."""
    home = tmp_path_factory.mktemp("home")
    source = str(Path(msda_train.__file__).parents[1])
    env = os.environ | {"HOME": str(home), "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8"}

    def run(*words, cwd=home, **more):
        command = [sys.executable, "-W", "error", "-c", CALL, *map(str, words)]
        done = subprocess.run(command, cwd=cwd, env=env | more, capture_output=True, text=True, timeout=60)
        done.stderr = re.sub(
            "msda-table: rows from before rows had a checksum.*\n", "", done.stderr
        )  # ours are of before
        return done

    return run


def test_the_default_folders(table, tmp_path):
    shutil.copytree(SMALL, tmp_path / "results" / "rows" / "digits")
    run = tmp_path / "runs" / "abc" / "s0"
    run.mkdir(parents=True)
    shutil.copy(next(SMALL.iterdir()), run / "row.json")
    done = table(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dataset=digits model=preactresnet18 recipe=smoke" in done.stdout


def test_published_numbers_stand_beside(table):
    tiny = ROWS / "manifold_tinyimagenet_preactresnet18"
    done = table(tiny)
    assert (done.returncode, done.stderr) == (0, "")
    assert "58.70 top1_acc" in done.stdout
    assert "manifold_mixup Table 3" in done.stdout
    assert done.stdout == table(tiny).stdout  # composed, then remembered


def test_no_rows_says_what_to_type(table, tmp_path):
    done = table(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "msda-table: no rows under runs or results/rows; type: msda-train method=erm\n"


def test_a_bad_row_is_named_and_the_others_are_shown(table, tmp_path):
    shutil.copytree(SMALL, tmp_path / "rows")
    (tmp_path / "rows" / "bad.json").write_text('{"schema": 1,')
    done = table("rows", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("msda-table: rows/bad.json: not JSON or cut off")
    assert done.stderr.count("\n") == 1
    assert "dataset=digits" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder 'nowhere'"),
        (["--metric", "accuracy"], "invalid choice: 'accuracy'"),
        (["--csv", "--latex"], "not allowed with"),
        (["--typo"], "unrecognized arguments: --typo"),
        ([SMALL, "--method", "emr"], "no row of method 'emr'; did you mean 'erm'?"),
    ],
)
def test_what_is_typed_wrong_costs_one_line(table, words, message):
    done = table(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("msda-table: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_choosing_methods_metric_and_style(table):
    done = table(SMALL, "--method", "erm", "--metric", "nll", "--markdown")
    assert done.returncode == 0
    assert " NLL, nats " in done.stdout
    assert "hmix" not in done.stdout
    both = table(SMALL, "--method", "erm,hmix", "--latex").stdout
    assert both.count(r"\midrule") == 2


def test_help_and_a_terminal_without_the_sign(table):
    assert "--metric" in table("--help").stdout
    done = table(ROWS / "cifar10-preactresnet18-short", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "55.72 ? 0.38" in done.stdout


def test_a_reader_that_stops_reading(tmp_path):
    source = str(Path(msda_train.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); from msda_train.cli.table import main; main()"
    command = [sys.executable, "-c", code, str(SMALL), "--csv"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, cwd=tmp_path)
    os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
