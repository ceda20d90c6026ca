"""`msda-table list`."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import msda_train


def counts(out, name):
    line = next(line for line in out.splitlines() if line.split()[:1] == [name])
    return [int(word) for word in line.split()[1:] if word.isdigit()]


def test_a_fresh_clone(table):
    code, out, err = table("list")
    assert (code, err) == (0, "")
    assert counts(out, "manifold_mixup")[:5] == [16, 232, 196, 0, 0]
    assert counts(out, "all") == [74, 1087, 964, 0, 0]


def test_what_was_run(table, rows, published):
    code, out, _ = table("list", "--rows", rows, "--published", published)
    assert code == 0
    assert counts(out, "some")[:5] == [3, 7, 6, 6, 3]


def test_the_tables_of_a_paper(table):
    code, out, _ = table("list", "cutmix")
    assert code == 0
    assert "cutmix/table5 " in out
    assert counts(out, "cutmix/table5")[:4] == [30, 30, 0, 0]
    assert "Yun, Han, Oh" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "cutmx"], "there is no paper 'cutmx'; did you mean 'cutmix'?"),
        (["list", "--published", "nowhere"], "there are no published files in 'nowhere'"),
        (["list", "--rows", "nowhere"], "there is no folder 'nowhere'"),
        (["list", "mixup", "cutmix"], "unrecognized arguments: cutmix; type: msda-table list --help"),
    ],
)
def test_what_is_typed_wrong_costs_one_line(table, words, message):
    code, out, err = table(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_damaged_published_file_is_named_and_the_others_are_used(table, published):
    path = published / "other.yaml"
    path.write_text(path.read_text()[:-30])
    code, out, err = table("list", "--published", published)
    assert code == 2
    assert err.startswith(f"msda-table: {path}:")
    assert err.count("\n") == 1
    assert "some" in out
    assert "other" not in out


def test_two_files_of_one_paper(table, published):
    (published / "zzz.yaml").write_text((published / "some.yaml").read_text())
    code, out, err = table("list", "--published", published)
    assert code == 2
    assert "a second file of paper 'some'; the first is used" in err
    assert counts(out, "some")[:2] == [3, 7]


def test_it_answers_at_once_and_loads_neither_torch_nor_hydra(tmp_path):
    source = str(Path(msda_train.__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {source!r}); from msda_train.cli.table import main; main(['list']); "
        "assert not {'torch', 'hydra', 'scipy'} & set(sys.modules)"
    )
    began = time.process_time_ns(), time.monotonic()
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began[1] < 10  # far more than the second it takes: machines are busy
