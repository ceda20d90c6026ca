"""Interrupted equals uninterrupted, bit for bit on the CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from without_times import measured

from msda_train.training.run import Run


def _weights(path):
    return torch.load(path.parent / "checkpoint.pt", weights_only=True)


def _interrupt_in_epoch(monkeypatch, number):
    whole = Run.epoch

    def epoch(self, index, *rest):
        if index == number:
            raise KeyboardInterrupt
        return whole(self, index, *rest)

    monkeypatch.setattr(Run, "epoch", epoch)


@pytest.mark.parametrize(
    ("method", "scheduled"),
    [("erm", 0), ("cutmix", 0), ("cutmix", 1), ("manifold_mixup", 0), ("recursivemix", 0)],
)
def test_four_epochs_equal_two_and_two(go, tmp_path, monkeypatch, method, scheduled):
    words = [f"method={method}", "recipe.epochs=4", "recipe.crop_padding=1", "recipe.flip=true", "seed=3"]
    words += ["method.prob_schedule=linear"] if scheduled else []
    straight = go(*words, f"runs={tmp_path / 'straight'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_in_epoch(patch, 2)
        go(*words)
    resumed = go(*words)
    assert measured(resumed) == measured(straight)
    ours, theirs = _weights(resumed), _weights(straight)
    assert all(torch.equal(ours["model"][k], theirs["model"][k]) for k in theirs["model"])
    sessions = json.loads(resumed.read_text())["sessions"]
    assert [(s["from_epoch"], s["to_epoch"]) for s in sessions] == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    "words",
    [
        ["model=wrn28_10", "model.depth=10", "model.width=1", "model.dropout=0.5"],
        ["model=shake_shake26", "model.depth=8", "model.width=4"],
    ],
)
def test_what_a_network_draws_is_resumed_too(go, tmp_path, monkeypatch, words):
    words = [*words, "recipe.epochs=3"]
    straight = go(*words, f"runs={tmp_path / 'straight'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_in_epoch(patch, 1)
        go(*words)
    assert measured(go(*words)) == measured(straight)


def test_killed_at_any_moment(small, tmp_path):
    """SIGKILL at several moments; the same command goes on and ends with the same numbers."""
    program = "import sys; from msda_train.cli.train import main; sys.exit(main())"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*extra):
        words = [*small("method=mixup", "recipe.epochs=6"), *extra]
        command = [sys.executable, "-c", program, *words]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, cwd=tmp_path)

    straight = start(f"runs={tmp_path / 'straight'}")
    assert straight.wait() == 0
    began = time.monotonic()
    kills = 0
    for delay in (0.0, 0.3, 0.7):
        run = start()
        marker = tmp_path / "runs"
        while not list(marker.rglob("config.yaml")) and run.poll() is None:
            time.sleep(0.02)  # until training is about to begin
        time.sleep(delay)
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        run.wait()
    last = start()
    assert last.wait() == 0
    assert kills > 0
    assert time.monotonic() - began < 600
    (resumed,) = (tmp_path / "runs").rglob("row.json")
    (uncut,) = (tmp_path / "straight").rglob("row.json")
    assert measured(Path(resumed)) == measured(Path(uncut))
    assert not list((tmp_path / "runs").rglob("*.tmp"))
