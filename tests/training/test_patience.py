"""Early stopping: by hand, against a slow loop, and in whole runs, interrupted or not."""

import json
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from msda_train.cli.train import main
from msda_train.core.errors import RunFailed
from msda_train.launch.estimate import _from_rows
from msda_train.launch.half_done import epochs_done
from msda_train.records.rows import read_row
from msda_train.training.patience import stopped, validated, waited
from msda_train.training.run import Run


def _history(losses):
    return [{"validation_nll": loss} for loss in losses]


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ([], 0),
        ([3], 0),
        ([3, 2, 1], 0),
        ([3, 4, 4], 2),
        ([3, 4, 3], 0),
        ([3, 2, 2.5, 2.1], 2),
        ([1, 2, 0], 0),
    ],
)
def test_a_tie_is_no_worse(losses, count):
    assert waited(_history(losses)) == count


def test_it_stops_where_the_authors_loop_does():
    """Their loop: a larger loss than the best adds one, any other begins anew; it ends at `patience`."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        losses, patience = draw.integers(0, 6, size=30) / 2, int(draw.integers(1, 5))
        best, iteration, epoch = np.inf, 0, 1
        while epoch < len(losses) + 1 and iteration < patience:
            if losses[epoch - 1] > best:
                iteration += 1
            else:
                iteration, best = 0, losses[epoch - 1]
            epoch += 1
        recipe = SimpleNamespace(epochs=len(losses), patience=patience)
        ends = [n for n in range(1, 31) if stopped(_history(losses[:n]), recipe)]
        assert (ends[0] if ends else 30) == epoch - 1
    assert not stopped(_history([1, 2, 3]), SimpleNamespace(epochs=9, patience=None))
    assert not stopped([], SimpleNamespace(epochs=9))  # of another task


def test_a_loss_that_is_no_number_ends_the_run():
    with pytest.raises(RunFailed, match="epoch 3: the validation NLL is nan"):
        validated(SimpleNamespace(patience=2), {"error": 0.5, "nll": float("nan")}, 2)


@pytest.fixture
def go(small, tmp_path, capsys):
    """A run of digits that overfits: its code, its row, what was said."""

    def run(*more, name="runs"):
        words = ["recipe.epochs=30", "dataset.holdout=0.5", "recipe.patience=2", "recipe.lr=0.3", *more]
        code = main([*(w for w in small(*words) if not w.startswith("runs=")), f"runs={tmp_path / name}"])
        rows = list((tmp_path / name).rglob("row.json"))
        return code, rows[0] if rows else None, capsys.readouterr()

    return run


def test_a_run_ends_after_patience_and_its_row_says_so(go):
    code, path, said = go()
    raw, row = json.loads(path.read_text()), read_row(path)
    losses = [epoch["validation_nll"] for epoch in raw["history"]]
    assert code == 0
    assert losses == [epoch["nll"] for epoch in raw["history"]]  # the held-out part
    assert row.epochs == raw["stopped_after"] == len(losses) < 30
    best = int(np.argmin(losses))
    assert len(losses) - 1 - best == 2
    assert f"{len(losses)} epochs (of 30: recipe.patience=2), held-out error" in said.err
    again = go()
    assert again[0] == 0
    assert json.loads(again[1].read_text()) == raw


def test_interrupted_equals_uninterrupted(go, monkeypatch):
    _, whole, _ = go(name="whole")
    history = json.loads(whole.read_text())["history"]
    real, stop_at = Run.epoch, len(history) - 1  # within the epochs that are waited for

    def epoch(self, index, *rest):
        if index == stop_at:
            raise KeyboardInterrupt
        return real(self, index, *rest)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Run, "epoch", epoch)
        go(name="parts")
    _, parts, _ = go(name="parts")
    raw = json.loads(parts.read_text())
    timeless = [{k: v for k, v in e.items() if "seconds" not in k} for e in history]
    assert [{k: v for k, v in e.items() if "seconds" not in k} for e in raw["history"]] == timeless
    assert raw["stopped_after"] == len(history)
    assert [s["from_epoch"] for s in raw["sessions"]] == [1, stop_at + 1]
    # A run that was killed between its last checkpoint and its row trains no more.
    parts.unlink()
    before = epochs_done(parts.with_name("checkpoint.pt"), raw["fingerprint"])
    _, parts, _ = go(name="parts")
    assert json.loads(parts.read_text())["history"] == raw["history"]
    assert before == len(history)


def test_estimates_divide_by_the_epochs_that_were_trained(go):
    _, path, _ = go()
    row = read_row(path)
    facts = {
        key: row.environment.get(key) for key in ("device", "device_name", "precision", "compile", "threads")
    }
    wanted = SimpleNamespace(config=row.config, epochs=30, step_cost=1.0)
    facts |= {"train_images": row.data["train_images"], "start_seconds": 0.0}
    assert _from_rows(wanted, [row], facts).seconds == pytest.approx(30 * row.seconds / row.epochs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset.holdout=0"], "recipe.patience=2: needs validation examples, and digits has none"),
        (["recipe.patience=0"], "recipe.patience=0: must be a whole number, at least 1"),
        (["recipe.patience=1.5"], "recipe.patience=1.5: must be a whole number"),
    ],
)
def test_bad_input_is_one_line(go, words, message):
    code, path, said = go(*words)
    assert (code, path) == (2, None)
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_row_cannot_say_it_stopped_elsewhere(go):
    _, path, _ = go()
    raw = json.loads(path.read_text())
    raw["stopped_after"] += 1
    del raw["checksum"]
    path.write_text(json.dumps(raw))
    with pytest.raises(Exception, match=r"'stopped_after' is \d+; its history has \d+ epochs"):
        read_row(path)
