"""Verify: a good run is equal bit for bit, a tampered one is not, and rows cannot make it do anything."""

import json

import pytest
import torch

from msda_train.cli.commands.verify_command import main
from msda_train.core.errors import UserError
from msda_train.evaluation.verify import verify
from msda_train.records.rows import read_row, write_row
from msda_train.records.summary import summarise


@pytest.fixture
def row(go):
    return go("method=mixup", "seed=2")


def _change(path, *keys, to):
    """Sets one value in the row's JSON."""
    raw = json.loads(path.read_text())
    node = raw
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = to(node.get(keys[-1])) if callable(to) else to
    write_row(path, raw | {"metrics": summarise(raw["history"])})  # a forger signs it, too


def test_a_good_run_is_equal_bit_for_bit(row, capsys):
    done = verify(row.parent)
    assert done.exact
    assert done.equal
    assert [check.name for check in done.checks][:3] == ["error/last", "top5_error/last", "nll/last"]
    assert main([str(row)]) == 0
    out = capsys.readouterr().out
    assert "m seed 2, epoch 2 evaluated again" in out
    assert out.endswith("equal, bit for bit\n")


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("history", -1, "error"), lambda value: value - 1 / 30),
        (("history", -1, "nll"), lambda value: value * (1 + 1e-9)),
        (("history", 0, "error"), 0.0),
        (("history", 0, "error"), 0.5001),
    ],
)
def test_a_changed_row_is_different(row, capsys, keys, to):
    _change(row, *keys, to=to)
    assert main([str(row.parent)]) == 1
    out = capsys.readouterr().out
    assert "DIFFERENT" in out
    assert "different: " in out.splitlines()[-1]


def test_changed_weights_are_different(row):
    path = row.parent / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    for value in state["model"].values():
        if value.is_floating_point():
            value.mul_(0.5)
    torch.save(state, path)
    done = verify(row)
    assert not done.equal


def test_elsewhere_a_tolerance_is_stated(row, capsys):
    _change(row, "environment", "torch", to="1.0")
    assert not verify(row).exact
    assert main([str(row)]) == 0
    assert "within the tolerances of another device" in capsys.readouterr().out
    _change(row, "history", -1, "nll", to=lambda value: value * 1.1)
    assert main([str(row)]) == 1


def test_nothing_to_compare(row, tmp_path):
    for words, message in [
        ([str(tmp_path / "none")], "there is no such run"),
        ([str(tmp_path)], "there is no row; the run is not finished"),
        ([str(row), "--device", "gpu"], "device=gpu: unknown"),
        ([], "required: RUN"),
    ]:
        with pytest.raises(UserError, match=message):
            main(words)
    weights = row.parent / "checkpoint.pt"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(UserError, match="checkpoint is damaged"):
        verify(row)
    weights.unlink()
    with pytest.raises(UserError, match="there is no checkpoint"):
        verify(row)
    row.write_text(row.read_text()[:200])
    with pytest.raises(UserError, match="not JSON or cut off"):
        verify(row)


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        (("seed",), 5, "says seed 5 in a folder named s2"),
        (("config", "method", "alpha"), 0.3, "checkpoint of another configuration"),
        (("config", "model", "width"), 8, "checkpoint of another configuration"),
        (("config", "model", "width"), -8, "."),
        (("data", "content"), "abc", "trained on other images"),
        (("config", "dataset", "root"), 5, "."),
        (("config", "dataset", "_target_"), "msda_train.data.cifar.Cifar10", "msda-data prepare|unknown"),
        (("config", "model", "_target_"), "os.system", "no part of msda-train; if you made it: .* --trust"),
        (("config", "model", "_target_"), "msda_train.cli.train.os.system", "no part of msda-train"),
        (("config", "model", "blocks"), {"_target_": "os.getcwd"}, "_target_: a row may not say this"),
        (("config", "model", "_partial_"), True, "_partial_: a row may not say this"),
        (("config", "dataset", "name"), "${oc.env:HOME}", "not a plain word"),
        (("config", "model", "_target_"), "msda_train.models.trained.load_network", "no part of msda-train"),
        (("config", "recipe", "_target_"), "subprocess.run", "no part of msda-train"),
    ],
)
def test_rows_are_not_trusted(row, keys, to, message):
    _change(row, *keys, to=to)
    with pytest.raises(UserError, match=message) as error:
        verify(row)
    assert "\n" not in str(error.value)


def test_a_row_of_before_its_modules_moved_is_verified(row):
    _change(row, "config", "model", "_target_", to="msda_train.nets.preactresnet")
    _change(row, "config", "recipe", "_target_", to="msda_train.runner.recipe.Recipe")
    _change(row, "config", "dataset", "_target_", to="msda_train.sources.Digits")
    assert verify(row).equal


def test_a_foreign_model_only_with_trust(row, tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(
        "from pathlib import Path\nPath('imported').touch()\n"
        "from msda_train.models.preactresnet import preactresnet\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    _change(row, "config", "model", "_target_", to="theirs.preactresnet")
    with pytest.raises(UserError, match="take --trust"):
        main([str(row)])
    assert not (tmp_path / "imported").exists()
    with pytest.raises(UserError, match="checkpoint of another configuration"):
        main([str(row), "--trust"])  # a foreign name counts whole in the fingerprint
    assert not (tmp_path / "imported").exists()  # nothing is built for a checkpoint of another run
    path = row.parent / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    progress = json.loads(state["progress"]) | {"fingerprint": read_row(row).fingerprint}
    torch.save(state | {"progress": json.dumps(progress)}, path)
    assert main([str(row), "--trust"]) == 0
    assert (tmp_path / "imported").exists()


def test_nothing_is_written_where_a_row_says(row, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    _change(row, "config", "dataset", "cache", to=str(elsewhere))
    assert verify(row).equal
    assert not elsewhere.exists()
