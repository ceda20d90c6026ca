"""`msda-check mixers` as a person types it: what it prints, its exit codes, and what it refuses."""

import json

import pytest

from msda_train.cli.check import main

MINE = """
import torch

def right(num_classes=10):
    def mix(x, y):
        lam, perm = torch.rand(()), torch.randperm(len(x))
        hot = torch.nn.functional.one_hot(y, num_classes).float()
        return lam * x + (1 - lam) * x[perm], lam * hot + (1 - lam) * hot[perm]
    return mix

def wrong(num_classes=10):
    return lambda x, y: (x.flip(0), torch.nn.functional.one_hot(y, num_classes).float())

def shapeless():
    return lambda x, y: x

def broken():
    raise RuntimeError("no model here")

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_mixers.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_mixer_of_ones_own(mine, capsys):
    assert main(["mixers", "--alone", "my_mixers:right", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["mixers"]
    outcomes = {name: each["verdict"] for name, each in found["outcomes"].items()}
    assert outcomes["share"] == outcomes["lam"] == outcomes["pairs"] == outcomes["seed"] == "pass"
    assert "fail" not in outcomes.values()
    assert main(["mixers", "--alone", "my_mixers:wrong"]) == 1
    assert "FAIL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["torchvisoin"], "torchvision"),
        (["--alone"], "--alone"),
        (["--alone", "no_such_file:make"], "no_such_file"),
        (["--alone", "my_mixers:nothing"], "my_mixers:nothing"),
        (["--alone", "my_mixers:number"], "my_mixers:number"),
        (["--alone", "my_mixers:broken"], "no model here"),
        (["cutout"], "leaves labels alone"),
    ],
)
def test_what_cannot_be_asked(mine, capsys, words, said):
    assert main(["mixers", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_what_returns_something_else_fails(mine, capsys):
    code = main(["mixers", "--alone", "my_mixers:shapeless"])
    assert code in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_the_page_says_who_is_left_out(mine, capsys):
    assert main(["mixers", "gridmix", "automix", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert "| gridmix " in page
    assert page.partition("## Left out\n\n")[2].startswith("- automix: cannot be asked here")
