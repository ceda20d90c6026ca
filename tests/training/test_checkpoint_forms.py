"""`checkpoint=full` loses nothing, wherever a run goes on; `weights` loses momentum, and the row says so."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from without_times import history, measured

from msda_train.cli import train as cli
from msda_train.core.errors import UserError
from msda_train.launch.half_done import epochs_done
from msda_train.models.trained import load_network, read_checkpoint
from msda_train.training.run import Run

WORDS = ("method=mixup", "recipe.epochs=4", "seed=3")
CLI = "import sys; from msda_train.cli.train import main; sys.exit(main())"


@pytest.fixture
def half(go, monkeypatch):
    """Two of four epochs."""
    whole = Run.epoch

    def train(*words):
        def epoch(self, index, *rest):
            if index == 2:
                raise KeyboardInterrupt
            return whole(self, index, *rest)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Run, "epoch", epoch)
            go(*WORDS, *words)

    return train


def test_full_goes_on_elsewhere_bit_for_bit(go, half, small, tmp_path):
    """Begun here; the folder is moved; another process in another folder, its cache elsewhere, ends it."""
    straight = go(*WORDS, f"runs={tmp_path / 'straight'}")
    half()
    away = tmp_path / "another" / "machine"
    away.mkdir(parents=True)
    shutil.move(tmp_path / "runs", away / "carried")
    words = [word for word in small(*WORDS) if not word.startswith(("runs=", "dataset.cache="))]
    command = [sys.executable, "-c", CLI, *words, "runs=carried", "dataset.cache=their_cache"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 2 of 4\n" in done.stderr
    assert not (tmp_path / "runs").exists()
    (resumed,) = away.rglob("row.json")
    assert measured(resumed) == measured(straight)
    assert all("lost" not in session for session in json.loads(resumed.read_text())["sessions"])
    ours, theirs = (torch.load(p.with_name("checkpoint.pt"), weights_only=True) for p in (resumed, straight))
    assert all(torch.equal(ours["model"][key], theirs["model"][key]) for key in theirs["model"])


def test_weights_lose_nothing_without_an_interruption(go, tmp_path):
    straight = go(*WORDS, f"runs={tmp_path / 'straight'}")
    weights = go(*WORDS, "checkpoint=weights")
    assert measured(weights) == measured(straight)
    sizes = [path.with_name("checkpoint.pt").stat().st_size for path in (weights, straight)]
    assert sizes[0] < sizes[1] / 2
    ours, _ = load_network(weights.parent)
    theirs, _ = load_network(straight.parent)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_weights_go_on_without_momentum_and_say_so(go, half, tmp_path):
    straight = go(*WORDS, f"runs={tmp_path / 'straight'}")
    half("checkpoint=weights")
    resumed = go(*WORDS, "checkpoint=weights")
    (first, then), expected = json.loads(resumed.read_text())["sessions"], history(straight)
    assert ("lost" in first, then["lost"]) == (False, "optimizer state")
    found = history(resumed)
    assert found[:2] == expected[:2]
    assert found[2:] != expected[2:]  # else momentum would not matter, and should not be kept at all


def test_without_momentum_weights_are_all_there_is(go, half, tmp_path):
    still = "recipe.momentum=0", "recipe.nesterov=false"
    straight = go(*WORDS, *still, f"runs={tmp_path / 'straight'}")
    half(*still, "checkpoint=weights")
    resumed = go(*WORDS, *still, "checkpoint=weights")
    assert measured(resumed) == measured(straight)
    assert all("lost" not in session for session in json.loads(resumed.read_text())["sessions"])


@pytest.mark.parametrize("form", ["full", "weights"])
def test_epochs_are_counted_without_torch(go, half, tmp_path, form):
    half(f"checkpoint={form}")
    (path,) = (tmp_path / "runs").rglob("checkpoint.pt")
    fingerprint = json.loads(go(*WORDS, f"runs={tmp_path / 'whole'}").read_text())["fingerprint"]
    assert len(read_checkpoint(path, fingerprint)["progress"]["history"]) == 2
    assert epochs_done(path, fingerprint) == 2
    assert epochs_done(path, "0" * 16) == 0
    path.write_bytes(path.read_bytes()[:-500])
    assert epochs_done(path, fingerprint) == 0
    with pytest.raises(UserError, match="checkpoint is damaged"):
        read_checkpoint(path, fingerprint)
    assert epochs_done(path.with_name("none"), fingerprint) == 0


def test_the_size_is_told_and_a_bad_word_is_one_line(small, capsys):
    assert cli.main(small("checkpoint=weights", "recipe.epochs=2")) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "checkpoint.pt" in line]
    assert len(told) == 1
    assert "MB, checkpoint=weights (weights and history, no momentum, packed)" in told[0]
    assert cli.main(small("checkpoint=wieghts")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "msda-train: checkpoint=wieghts: unknown; did you mean 'weights'?"
