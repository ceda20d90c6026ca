"""`make demo` and `make smoke` train every method: what they type is read from make itself."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from msda_train.cli.train import main
from msda_train.core.paths import CONFIGS

REPO = Path(__file__).resolve().parents[1]
EVERY = {path.stem for path in (CONFIGS / "method").glob("*.yaml")}
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="without make")


def _typed(target):
    """The words of each msda-train, and the methods that they name."""
    lines = subprocess.run(
        ["make", "-n", target], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"/msda-train (.*)", lines.replace("\\\n", " "))
    words = [command.partition(">")[0].split() for command in commands]
    named = [
        {n for w in each for n in re.findall(r"^method=(.*)", w) for n in n.split(",")} for each in words
    ]
    return words, named


@pytest.mark.parametrize("target", ["demo", "smoke"])
def test_every_method_is_trained(target):
    assert set().union(*_typed(target)[1]) == EVERY


def test_what_needs_no_options_trains_on_digits(tmp_path, cache, capsys):
    """The first command of `make smoke`, on fewer pictures."""
    words, named = (each[0] for each in _typed("smoke"))
    assert len(named) > 20
    words = [word for word in words if not word.startswith("runs=")]
    fewer = ["dataset.subset=20", "dataset.test_subset=10", "recipe.batch_size=10", "recipe.epochs=1"]
    small = ["model.blocks=[1,1]", f"dataset.cache={cache}", f"runs={tmp_path}"]
    assert main([*words, *fewer, *small]) == 0, capsys.readouterr().err
