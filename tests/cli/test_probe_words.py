"""Probes as words: with a training, later, in tables; and what is refused in one line."""

import json

import pytest

from msda_train.cli.probe import main as run
from msda_train.cli.table import main as table
from msda_train.cli.train import main

PROBES = ["probes=standard", "~probes.in_between", "~probes.adversarial", "~probes.deformations"]
PROBES += ["~probes.gradients", "~probes.representation"]


@pytest.fixture
def trained(small, tmp_path, monkeypatch, capsys):
    """A run that was probed when it was trained."""
    monkeypatch.chdir(tmp_path)
    assert main([*small("method=mixup"), *PROBES]) == 0
    (row,) = tmp_path.rglob("row.json")
    capsys.readouterr()
    return row


def test_training_with_probes_and_a_column_of_the_table(trained, capsys):
    probes = json.loads(trained.read_text())["probes"]
    assert set(probes) == {"calibration", "ood", "memorisation"}
    assert table([str(trained.parents[2]), "--columns", "calibration/ece_15,ood/gaussian/auroc"]) == 0
    out = capsys.readouterr().out
    assert "calibration/ece_15" in out
    assert f"{probes['ood']['numbers']['gaussian/auroc']:.4f}" in out
    assert table([str(trained.parents[2]), "--columns", "calibration/ece_51"]) == 2
    assert "did you mean 'calibration/ece_15'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probes=standard", "probes.calibration.bins=[0]"], "probes.calibration.bins=0"),
        (["probes=cutmix_fgsm", "probes.adversarial.attacks=[{kind:fgsm,eps:300/255}]"], "eps=300/255"),
        (["probes=standard", "probes.calibration.bims=[5]"], "did you mean 'probes.calibration.bins'?"),
        (["probes=cutmix_ssd", "probes.ssd.steps_=5"], "did you mean 'probes.ssd.steps'?"),
        (["probes=cutmix_ssd", "probes.sdd.steps=5"], "did you mean 'probes.ssd.steps'?"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_the_row_stays(trained, capsys, words, message):
    before = trained.read_bytes()
    assert run([str(trained.parent), *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert trained.read_bytes() == before
