"""`msda-table import` as a person types it."""

import subprocess
import sys

import pytest

from msda_train.cli.commands.import_command import main
from msda_train.core.errors import UserError

TABLE = "dataset,model,method,error_last\ncifar10,wrn28_10,mixup,0.031\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.csv").write_text(TABLE)


def test_import_and_list(capsys):
    assert main(["theirs.csv", "recipe=theirs"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("results/foreign/mixup-cifar10-")
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Foreign rows: ")
    assert "3.10" in out
    assert "theirs.csv (csv, " in out


def test_another_folder(capsys, tmp_path):
    assert main(["--to", "mine", "theirs.csv"]) == 0
    assert main(["--list", "--to", "mine"]) == 0
    assert "wrn28_10" in capsys.readouterr().out
    (tmp_path / "mine" / "bad.json").write_text("{")
    assert main(["--list", "--to", "mine"]) == 2
    out, err = capsys.readouterr()
    assert "wrn28_10" in out
    assert err == "msda-table: mine/bad.json: not a foreign row of msda-train, or cut off\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which file"),
        (["none.csv"], "none.csv: there is no such file"),
        (["theirs.csv", "sede=1"], r"no such option; did you mean 'seed'\?"),
        (["theirs.csv", "seed"], "type OPTION=VALUE"),
        (["theirs.csv", "seed=-1"], "'-1' is not a whole number"),
        (["--list"], "no foreign rows in results/foreign"),
        (["--list", "theirs.csv"], "nothing is imported with --list"),
        (["--typo"], "unrecognized"),
    ],
)
def test_bad_words(words, message):
    with pytest.raises(UserError, match=message):
        main(words)


def test_no_torch_is_imported():
    code = (
        "import sys\n"
        "from msda_train.cli.commands import import_command, plan_command, run_command, verify_command\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
