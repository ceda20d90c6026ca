"""All commands speak one dialect: the version, mistakes, options in any order."""

import subprocess
import sys

import pytest

from msda_train import __version__
from msda_train.cli.parser import Parser
from msda_train.core.errors import UserError

COMMANDS = ("train", "table", "data", "probe", "plot", "check")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version_answers_without_torch(name, tmp_path):
    program = f"import sys; from msda_train.cli.{name} import main; code = main(['--version']); "
    program += "sys.exit(code or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"msda-{name} {__version__}\n", "")
    assert not list(tmp_path.iterdir())


def test_a_subcommand_has_the_version_of_its_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        Parser("msda-table show").parse(["--version"])
    assert capsys.readouterr().out == f"msda-table {__version__}\n"


@pytest.mark.parametrize("words", [["--typo"], ["--wor", "x"], ["--word"]])
def test_a_mistake_is_one_line_that_says_where_the_help_is(words):
    parser = Parser("msda-table show")
    parser.add_argument("--word")
    with pytest.raises(UserError, match=r"^[^\n]*; type: msda-table show --help$"):
        parser.parse(words)


def test_words_and_options_come_in_any_order():
    parser = Parser("msda-probe")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--device")
    found = parser.parse(["a", "--device", "cpu", "b"])
    assert (found.words, found.device) == (["a", "b"], "cpu")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_ends_every_command_alike(name, capsys):
    from importlib import import_module

    assert import_module(f"msda_train.cli.{name}").main(["--typo"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"msda-{name}: ")
    assert line.endswith(f"; type: msda-{name} --help")
