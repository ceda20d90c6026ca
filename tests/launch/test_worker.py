"""A real worker: runs one after the other, what it says, how it ends."""

import json
import signal
import time

import pytest

from msda_train.config.compose import compose
from msda_train.launch.child import Worker
from msda_train.training.train import train

MINE = """
from dataclasses import dataclass
import os
import torch
from msda_train.core.mix import Mix


@dataclass(frozen=True)
class Half:
    weight: float = 0.5

    def plan(self, x, y, model, rng):
        os.write(1, b"half\\n")
        lam = torch.full((1,), self.weight)
        return Mix(torch.arange(len(x)).roll(1), lam, lam.view(1, 1, 1, 1))
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker in an empty folder; `after` gives it a run and returns the run's exit code and log."""
    monkeypatch.chdir(tmp_path)

    class Patient(Worker):
        def after(self, words, log):
            self.give(words, tmp_path / log, "work")
            return self.ended(), (tmp_path / log).read_text()

        def ended(self):
            end = time.monotonic() + 120
            while (code := self.result()) is None:
                assert time.monotonic() < end
                time.sleep(0.01)
            return code

    with open(tmp_path / "first.log", "ab") as errors:
        made = Patient(None, errors)
    yield made
    made.end(0)


def _history(path):
    volatile = ("seconds", "train_seconds")
    row = json.loads(path.read_text())
    return [{k: v for k, v in epoch.items() if k not in volatile} for epoch in row["history"]], row["memory"]


def test_run_after_run(worker, tmp_path, small):
    (tmp_path / "mine.py").write_text(MINE)
    words = [*small, "device=cpu"]
    own = [*words, "method._target_=mine.Half", "seed=1"]
    code, log = worker.after(own, "first.log")
    assert code == 0, log
    assert log.count("half\n") >= 6  # in a process whose own stdout is the planner's
    assert "complete: " in log
    code, log = worker.after([*words, "method=mixup", "seed=2"], "second.log")
    assert (code, worker.process.poll()) == (0, None)
    assert "half" not in log
    assert "complete: mixup seed 2" in log
    (row,) = tmp_path.glob("runs/*/s2/row.json")
    found, memory = _history(row)
    assert memory["earlier_runs"] == 1
    cfg = compose(*words, "method=mixup", "seed=2", f"runs={tmp_path / 'alone'}")
    assert _history(train(cfg, json.loads(row.read_text())["names"], lambda line: None))[0] == found
    code, log = worker.after([*words, "recipe.lr=-1"], "third.log")
    assert log.splitlines()[-1].startswith("msda-train: recipe.lr=-1: must be greater than 0")
    assert (code, worker.process.wait(20)) == (2, 2)


def test_a_run_that_diverges_is_the_last(worker, small):
    code, log = worker.after([*small, "recipe.lr=1e30", "recipe.warmup_epochs=0"], "first.log")
    assert "epoch 1: the loss is" in log
    assert (code, worker.process.wait(20)) == (1, 1)


def test_ctrl_c_and_nothing_to_do(worker, tmp_path, small):
    assert worker.after([*small], "first.log")[0] == 0
    worker.give([*small, "recipe.epochs=2000", "seed=1"], tmp_path / "second.log", "work")
    while not list(tmp_path.glob("runs/*/s1/checkpoint.pt")):
        assert worker.process.poll() is None
        time.sleep(0.01)
    worker.process.send_signal(signal.SIGINT)
    assert worker.ended() == 130
    last = (tmp_path / "second.log").read_text().splitlines()[-1]
    assert last == "msda-train: stopped; the same command goes on from the last checkpoint"


def test_a_worker_without_runs_ends(worker):
    worker.end(60)
    assert worker.process.returncode == 0


def test_a_killed_worker_says_so(worker, tmp_path):
    worker.process.kill()
    worker.process.wait()
    worker.give(["method=erm"], tmp_path / "late.log", "work")
    assert worker.result() == -signal.SIGKILL
