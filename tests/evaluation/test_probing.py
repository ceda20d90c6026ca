"""Probes of finished runs: added to the row, once, whatever becomes of the other probes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from msda_train.cli.probe import main as run
from msda_train.core.errors import UserError
from msda_train.core.files import NotWritten
from msda_train.evaluation import probing
from msda_train.evaluation.probes.subject import Finding
from msda_train.evaluation.probing import LOGITS, Asked, build_probes, probe_run
from msda_train.records.rows import load_rows, read_row, write_row


@dataclass(frozen=True)
class Wrong:
    """The share of test images whose largest logit is not the label's, off by `off`."""

    off: float = 0.0

    def __call__(self, subject):
        wrong = (subject.test_logits.argmax(1) != subject.labels()).double().mean().item()
        key = f"error_{self.off}" if self.off else "error"
        return Finding({key: wrong + self.off}, {"logits": subject.test_logits.numpy()}, ["a remark"])


@dataclass(frozen=True)
class Norm:
    """Needs the network itself."""

    def __call__(self, subject):
        for pixels, _ in subject.batches(limit=7):
            assert pixels.shape == (7, 1, 8, 8)
            assert 0 <= pixels.min() <= pixels.max() <= 1
            return Finding({"norm": subject.logits(pixels).norm().item()})


@dataclass(frozen=True)
class Broken:
    def __call__(self, subject):
        raise RuntimeError("out of\nmemory")


@dataclass(frozen=True)
class Infinite:
    def __call__(self, subject):
        return Finding({"value": float("inf")})


def asked(name, probe):
    return Asked(name, dict(vars(probe)), probe)


def test_numbers_are_added_and_nothing_else_changes(go):
    path = go("method=mixup")
    before = json.loads(path.read_text())
    said = []
    assert probe_run(path, [asked("wrong", Wrong()), asked("norm", Norm())], said.append) == 0
    after = json.loads(path.read_text())
    probes = after.pop("probes")
    assert after.pop("checksum") != before.pop("checksum")
    assert after == before
    assert probes["wrong"]["numbers"] == {"error": pytest.approx(before["metrics"]["error/last"])}
    assert probes["wrong"]["asked"][0]["remarks"] == ["a remark"]
    assert probes["wrong"]["asked"][0]["environment"]["torch"]
    assert read_row(path).metrics["wrong/error"] == probes["wrong"]["numbers"]["error"]
    assert np.load(path.parent / "probes" / "wrong.npz")["logits"].shape == (30, 10)
    stored = np.load(path.with_name(LOGITS))["test"]
    assert (stored.shape, stored.dtype) == ((30, 10), np.float32)


def test_what_is_there_is_not_measured_again(go):
    path = go()
    probe_run(path, [asked("wrong", Wrong())], lambda line: None)
    kept = path.read_bytes()
    said = []
    probe_run(path, [asked("wrong", Wrong())], said.append)
    assert path.read_bytes() == kept
    assert "0 of 1 probes are missing" in said[0]
    probe_run(
        path, [asked("wrong", Wrong(0.25))], said.append
    )  # other options: its own number beside the first
    numbers = json.loads(path.read_text())["probes"]["wrong"]["numbers"]
    assert numbers["error_0.25"] == numbers["error"] + 0.25


def test_a_probe_that_fails_costs_only_itself(go):
    path = go()
    said = []
    probes = [asked("broken", Broken()), asked("infinite", Infinite()), asked("wrong", Wrong())]
    assert probe_run(path, probes, said.append) == 2  # a value that is not finite is the probe's own refusal
    assert probe_run(path, probes[:1], said.append) == 1
    assert "probe broken failed: out of memory" in said
    assert "probe infinite failed: value: not finite" in said
    assert set(json.loads(path.read_text())["probes"]) == {"wrong"}


@dataclass(frozen=True)
class Long:
    """Has worked for days, and left a file of that."""

    file: str
    root: str | None = None

    def __call__(self, subject):
        return Finding({"number": 1.0}, leftovers=[Path(self.file)])


def test_what_was_learned_goes_once_its_number_is_in_the_row(go, tmp_path, monkeypatch):
    path, file = go(), tmp_path / "learned.pt"
    file.touch()
    probes = [asked("long", Long(str(file)))]

    def full(*_):
        raise NotWritten(OSError(28, "No space left on device"), path)

    with monkeypatch.context() as patched, pytest.raises(NotWritten):
        patched.setattr(probing, "add_probe", full)
        probe_run(path, probes, lambda line: None)
    assert file.is_file()
    assert probe_run(path, probes, lambda line: None) == 0
    assert not file.exists()


def test_data_that_were_moved_are_not_asked_again(go, tmp_path):
    path, said = go(), []
    probe_run(path, [asked("long", Long(str(tmp_path / "a"), root="here"))], said.append)
    probe_run(path, [asked("long", Long(str(tmp_path / "a"), root="there"))], said.append)
    assert "0 of 1 probes are missing" in said[-1]
    probe_run(path, [asked("long", Long(str(tmp_path / "b"), root="there"))], said.append)
    assert said[-1] == "long: number 1"


def test_logits_outlive_the_network(go):
    path = go()
    probe_run(path, [asked("wrong", Wrong())], lambda line: None)
    exact = json.loads(path.read_text())["probes"]["wrong"]["numbers"]["error"]
    (path.parent / "checkpoint.pt").unlink()
    said = []
    assert probe_run(path, [asked("again", Wrong()), asked("norm", Norm())], said.append) == 2
    assert json.loads(path.read_text())["probes"]["again"]["numbers"]["error"] == pytest.approx(exact)
    assert any("probe norm failed" in line and "there is no checkpoint" in line for line in said)


def test_a_probed_copy_of_a_row_is_the_same_run(go, tmp_path):
    path = go()
    copy = tmp_path / "kept" / "copy.json"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    probe_run(path, [asked("wrong", Wrong())], lambda line: None)
    for places in ([copy, path], [path, copy]):
        (row,), complaints = load_rows(places)
        assert "wrong/error" in row.metrics
        assert complaints == []


def test_bad_probe_options_are_named():
    node = OmegaConf.create({"odd": {"_target_": "msda_train.evaluation.probes.nowhere.Probe"}, "off": None})
    with pytest.raises(UserError, match=r"probes\.odd\._target_"):
        build_probes(node)
    assert build_probes(OmegaConf.create({"off": None})) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: there is no such run"),
        (["probes=full"], "which run? type: msda-probe RUN_FOLDER probes=standard"),
        ([".", "probes=standrd"], "probes=standrd: unknown; did you mean 'standard'?"),
        ([".", "probes=none"], "probes=none: nothing to do; type probes=standard or probes=full"),
    ],
)
def test_bad_words(words, line, go, tmp_path, monkeypatch, capsys):
    go()
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"msda-probe: {line}"


def test_a_damaged_checkpoint_is_one_line(go, capsys):
    path = go()
    weights = path.parent / "checkpoint.pt"
    weights.write_bytes(weights.read_bytes()[:200])
    kept = path.read_bytes()
    assert run([str(path.parent)]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("checkpoint is damaged; move it away to train from the start")
    )
    assert path.read_bytes() == kept


@pytest.mark.parametrize("first", ["standard logits first", "rounded ones of before"])
def test_a_number_does_not_depend_on_what_was_asked_before(go, first):
    path = go()
    probe_run(path, [asked("wrong", Wrong())], lambda line: None)
    fresh = json.loads(path.read_text())["probes"]["wrong"]["numbers"]
    stored = dict(np.load(path.with_name(LOGITS)))
    if first.startswith("rounded"):
        np.savez(path.with_name(LOGITS), test=stored["test"].astype(np.float16) + 1)
    raw = json.loads(path.read_text())
    del raw["probes"]
    write_row(path, raw)
    probe_run(path, [asked("wrong", Wrong())], lambda line: None)
    assert json.loads(path.read_text())["probes"]["wrong"]["numbers"] == fresh
    assert np.array_equal(np.load(path.with_name(LOGITS))["test"], stored["test"])
