"""A row that is there already is believed only if it is the row of what was typed, and never executed."""

import json
import shutil
import sys

import pytest

from msda_train.cli.train import main
from msda_train.config.fingerprint import former_fingerprint
from msda_train.records.rows import read_row, write_row

HALF_MIX = """
from dataclasses import dataclass
import torch
from msda_train.core.mix import Mix


@dataclass(frozen=True)
class HalfMix:
    weight: float = 0.5

    def plan(self, x, y, model, rng):
        lam = torch.full((1,), float(self.weight), device=x.device)
        return Mix(torch.arange(len(x), device=x.device).roll(1), lam, lam.view(1, 1, 1, 1))
"""


@pytest.fixture
def train(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["msda-train"])
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*words):
        code = main([*small_run, *words])
        return code, capsys.readouterr().err

    return run


def row_of(tmp_path, method):
    (found,) = [path for path in tmp_path.rglob("row.json") if read_row(path).names["method"] == method]
    return found


@pytest.mark.parametrize("signed", [True, False])
def test_the_row_of_another_run_is_refused(train, tmp_path, signed):
    assert train("method=mixup")[0] == train("method=erm")[0] == 0
    mixup, erm = row_of(tmp_path, "mixup"), row_of(tmp_path, "erm")
    raw = json.loads(mixup.read_text())
    if not signed:
        del raw["checksum"]
    erm.write_text(json.dumps(raw))
    before = erm.read_text()
    for words in (["method=erm"], ["method=erm", "probes=on_mixup_training"]):
        code, said = train(*words)
        assert code == 2
        assert "is the row of another run (mixup seed 0" in said
        assert "Traceback" not in said
        assert erm.read_text() == before


@pytest.mark.parametrize("change", [{"seed": 3}, {"data": {"content": "0" * 32}}])
def test_another_seed_or_other_images_are_another_run(train, tmp_path, change):
    assert train("method=erm")[0] == 0
    path = row_of(tmp_path, "erm")
    raw = json.loads(path.read_text())
    write_row(
        path, raw | {key: raw[key] | new if isinstance(new, dict) else new for key, new in change.items()}
    )
    code, said = train("method=erm")
    assert code == 2
    assert "another run" in said


@pytest.mark.parametrize("place", ["dataset", "root"])
def test_what_a_row_names_is_never_executed(train, tmp_path, place):
    """Also where its fingerprint fits: where images lie is no part of it."""
    assert train("method=erm")[0] == 0
    path = row_of(tmp_path, "erm")
    raw = json.loads(path.read_text())
    evil = {"_target_": "os.system", "command": f"touch {tmp_path / 'executed'}"}
    if place == "dataset":
        raw["config"]["dataset"] = evil
    else:
        raw["config"]["dataset"]["root"] = evil
    write_row(path, raw)
    code, said = train("method=erm", "probes=on_mixup_training")
    assert code == 2
    assert "Traceback" not in said
    assert not (tmp_path / "executed").exists()


def test_zero_of_somebodys_own_method_is_not_its_default(train, tmp_path):
    (tmp_path / "halfmix_a.py").write_text(HALF_MIX)
    words = ["method._target_=halfmix_a.HalfMix"]
    assert train(*words)[0] == 0
    assert train(*words, "+method.weight=0")[0] == 0
    rows = [read_row(path) for path in tmp_path.rglob("row.json")]
    assert sorted(row.config["method"]["weight"] for row in rows) == [0, 0.5]
    assert "complete: halfmix_a.HalfMix" in train(*words, "+method.weight=0.5")[1]
    assert len(list(tmp_path.rglob("row.json"))) == 2


def test_a_run_under_its_former_name_is_found(train, tmp_path):
    words = ["method=cutmix", "method.prob=0"]
    assert train(*words)[0] == 0
    path = row_of(tmp_path, "cutmix")
    former = former_fingerprint(read_row(path).config)
    assert former != read_row(path).fingerprint
    folder = path.parents[1]
    shutil.move(folder, folder.with_name(f"{former}-{folder.name.partition('-')[2]}"))
    code, said = train(*words)
    assert (code, "complete: cutmix seed 0" in said) == (0, True)
    assert train("method=cutmix", "~method.prob")[0] == 0  # which once had the same name
    assert len(list(tmp_path.rglob("row.json"))) == 2


def test_another_teacher_in_the_same_folder_is_told(train, tmp_path):
    words = ["method=attentive_cutmix", "method.teacher=T", "method.k=2"]
    assert train("method=erm", "runs=one")[0] == train("method=erm", "seed=1", "runs=other")[0] == 0
    code, said = train(*words)
    assert code == 2  # no such folder yet
    shutil.copytree(next(tmp_path.glob("one/*/s0")), tmp_path / "T")
    assert train(*words)[0] == 0
    assert "complete: attentive_cutmix" in train(*words)[1]
    shutil.rmtree(tmp_path / "T")
    shutil.copytree(next(tmp_path.glob("other/*/s1")), tmp_path / "T")
    code, said = train(*words)
    assert code == 2
    assert "was taught by another run" in said


def test_a_run_goes_on_with_the_teacher_that_it_began_with(train, tmp_path):
    words = ["method=attentive_cutmix", "method.teacher=T", "method.k=2"]
    assert train("method=erm", "runs=one")[0] == train("method=erm", "seed=1", "runs=other")[0] == 0
    shutil.copytree(next(tmp_path.glob("one/*/s0")), tmp_path / "T")
    assert train(*words)[0] == 0
    row_of(tmp_path / "runs", "attentive_cutmix").unlink()  # its checkpoint stays
    shutil.rmtree(tmp_path / "T")
    shutil.copytree(next(tmp_path.glob("other/*/s1")), tmp_path / "T")
    code, said = train(*words)
    assert code == 2
    assert "was begun with another teacher" in said
