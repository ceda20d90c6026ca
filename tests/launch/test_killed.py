"""A plan that is killed at any moment and typed again ends with the rows of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from process_tree import below
from without_times import measured

import msda_train
from msda_train.config.compose import compose
from msda_train.training.train import train

CALL = "import sys; from msda_train.cli.commands.run_command import main; sys.exit(main(sys.argv[1:]))"
EPOCHS = "recipe.epochs=40"


def _straight(plan, small, runs):
    """The same runs, never interrupted, in this process."""
    torch.set_num_threads(1)
    for job in plan(0, extra=[*small, EPOCHS]).jobs:
        cfg = compose(*job.words(str(runs)))
        names = dict.fromkeys(("dataset", "model", "method", "recipe", "experiment"))
        train(cfg, names, lambda line: None)
    return measured(runs)


def _kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _killed(start, runs, kills):
    """Starts the plan and kills it, `kills` times: planner and trainers, one or the other first."""
    draw = random.Random(7)
    counted = 0
    for number in range(kills):
        planner = start()
        if number % 3:  # in training; else at any moment, imports and composing included
            while planner.poll() is None and not _training(runs, planner):
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 1))
        else:
            time.sleep(draw.uniform(0.5, 5))
        victims = [planner.pid, *below(planner.pid)]
        draw.shuffle(victims)
        counted += planner.poll() is None
        for victim in victims:
            _kill(victim)
        planner.communicate()
    return counted


def _training(runs, planner):
    """Whether a trainer of this planner has begun: it has written its config."""
    began = os.stat(f"/proc/{planner.pid}").st_ctime
    return any(path.stat().st_mtime > began for path in runs.rglob("config.yaml"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for trainers in /proc")
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_and_started_again(plan, published, small, tmp_path, kills):
    expected = _straight(plan, small, tmp_path / "straight")
    runs = tmp_path / "killed"
    source = str(Path(msda_train.__file__).parents[1])

    def start():
        words = ["tiny/table1", "--published", published, "--runs", runs, "--jobs", 2, *small, EPOCHS]
        command = [sys.executable, "-c", CALL, *map(str, words)]
        env = os.environ | {"PYTHONPATH": source}
        return subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    assert _killed(start, runs, kills) > 0
    last = start()
    out, err = last.communicate(timeout=300)
    assert last.returncode == 0, out + err
    assert "tiny/table1: 2 of 2 runs done" in out
    assert measured(runs) == expected
    assert not list(runs.rglob("failure.json"))
