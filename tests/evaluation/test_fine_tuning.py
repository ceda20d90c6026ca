"""Training beyond a run: every example in turn, the schedule, and going on as if there had been no stop."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core import signals
from msda_train.core.errors import RunFailed, UserError
from msda_train.evaluation import fine_tuning
from msda_train.evaluation.fine_tuning import FineTuning, Schedule
from msda_train.evaluation.probes.subject import Subject


class Numbers:
    """Example k is k with a little noise: from both generators, torch's and the one that is given."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def drawn(self, index, rng):
        return index, float(rng.normal(0, 0.01)) + float(torch.randn(())) / 100


def subject(folder=None, readers=0):
    return Subject(
        nn.Identity(), None, [], [], torch.device("cpu"), nullcontext, 0, {}, readers=readers, folder=folder
    )


def tuned(schedule, *, count=7, folder=None, readers=0, at_step=lambda step: None, options="a"):
    """Losses, weights and the examples of each batch of a line with dropout."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.lr)
    seen = []

    def loss(batch):
        at_step(len(seen))
        seen.append([index for index, _ in batch])
        x = torch.tensor([[noise] for _, noise in batch])
        return (network(x) - torch.tensor([[index / 10] for index, _ in batch])).square().mean()

    tuning = FineTuning("toy", options, schedule)
    losses = tuning.learn(subject(folder, readers), network, optimizer, Numbers(count), loss)
    return losses, [p.detach().clone() for p in network.parameters()], seen, tuning


def test_each_turn_shows_every_example_once():
    _, _, seen, _ = tuned(Schedule(9, 3, 0.01), count=8)
    turns = [[*chain(*seen[start : start + 3])] for start in (0, 3, 6)]
    assert all(sorted(turn) == list(range(8)) for turn in turns)
    assert len({tuple(turn) for turn in turns}) == 3
    assert [len(batch) for batch in seen[:3]] == [3, 3, 2]


def test_a_last_batch_of_one_is_left_out():
    _, _, seen, _ = tuned(Schedule(4, 3, 0.01), count=7)
    assert [len(batch) for batch in seen] == [3, 3, 3, 3]
    _, _, alone, _ = tuned(Schedule(2, 3, 0.01), count=1)
    assert alone == [[0], [0]]


def test_the_rate_falls_to_a_tenth():
    schedule = Schedule(6, 2, 0.5, [2, 4])
    assert [schedule.lr_at(step) for step in range(6)] == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])
    assert schedule.words == "6x2_lr0.5_2_4"


def test_readers_beside_change_nothing():
    here, there = (tuned(Schedule(5, 3, 0.01), readers=readers) for readers in (0, 2))
    np.testing.assert_array_equal(here[0], there[0])
    assert here[2] == there[2]


@pytest.mark.parametrize("stopped_at", [0, 3, 6])
def test_one_that_was_stopped_goes_on(tmp_path, stopped_at, monkeypatch):
    monkeypatch.setattr(fine_tuning, "WATCHED", 4)
    whole = tuned(Schedule(10, 3, 0.01))
    part = tmp_path / "part"
    part.mkdir()

    def stop(step):
        if step == stopped_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with signals.heeded(), pytest.raises(signals.Stopped):
        tuned(Schedule(10, 3, 0.01), folder=part, at_step=stop)
    [file] = (part / "probes").iterdir()
    rest = tuned(Schedule(10, 3, 0.01), folder=part)
    assert rest[2] == whole[2][stopped_at + 1 :]
    np.testing.assert_array_equal(rest[0], whole[0])
    assert all(torch.equal(a, b) for a, b in zip(rest[1], whole[1], strict=True))
    assert rest[3].leftovers(subject(part)) == [file]


def test_other_options_begin_anew(tmp_path):
    def stop(step):
        if step == 2:
            raise KeyboardInterrupt

    for options in ("a", "b"):
        with pytest.raises(KeyboardInterrupt):
            tuned(Schedule(10, 3, 0.01), folder=tmp_path, at_step=stop, options=options)
    assert not (tmp_path / "probes").exists()  # Ctrl-C ends at once
    _, _, seen, _ = tuned(Schedule(4, 3, 0.01), folder=tmp_path, options="c")
    assert len(seen) == 4


def test_it_is_kept_every_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tuning, "SAVE_SECONDS", -1.0)

    def stop(step):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(Schedule(5, 3, 0.01), folder=tmp_path, at_step=stop)
    _, _, seen, _ = tuned(Schedule(5, 3, 0.01), folder=tmp_path)
    assert len(seen) == 2
    _, _, other, _ = tuned(Schedule(5, 3, 0.02), folder=tmp_path)
    assert len(other) == 5  # of another schedule


def test_what_was_learned_is_kept_for_the_test(tmp_path):
    losses, weights, _, tuning = tuned(Schedule(3, 3, 0.01), folder=tmp_path)
    state = torch.get_rng_state()
    again, same, seen, _ = tuned(Schedule(3, 3, 0.01), folder=tmp_path)
    assert seen == []
    np.testing.assert_array_equal(losses, again)
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert tuning.leftovers(subject(tmp_path)) == list((tmp_path / "probes").iterdir())
    assert tuning.leftovers(subject()) == []


def test_a_damaged_beginning_is_named(tmp_path):
    tuned(Schedule(2, 3, 0.01), folder=tmp_path)
    [file] = (tmp_path / "probes").iterdir()
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no beginning of this training") as told:
        tuned(Schedule(2, 3, 0.01), folder=tmp_path)
    assert str(file) in str(told.value)


def test_a_loss_that_is_no_number_ends_it():
    with pytest.raises(RunFailed, match=r"smaller probes\.toy\.lr than 0\.01"):
        FineTuning("toy", "", Schedule(3, 2, 0.01)).learn(
            subject(),
            layer := nn.Linear(1, 1),
            torch.optim.SGD(layer.parameters(), lr=0.1),
            Numbers(4),
            lambda batch: layer.weight.sum() * float("nan"),
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((0, 1, 0.1), r"probes\.toy\.steps=0"),
        ((1, 0, 0.1), r"probes\.toy\.batch_size=0"),
        ((1, 1, 0.0), r"probes\.toy\.lr=0\.0"),
        ((1, 1, 0.1, 5), r"probes\.toy\.lr_drops=5: must be a list"),
        ((1, 1, 0.1, [0]), r"probes\.toy\.lr_drops=0"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError, match=words):
        Schedule(*options).check("probes.toy")


def test_readers_end_with_the_process_whatever_happened(tmp_path):
    """They heed no signal, and Python waits for them."""
    (tmp_path / "failing.py").write_text(
        "import sys\n"
        "class Failing:\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, k): raise UserError('no picture')\n"
        "from msda_train.core.errors import UserError\n"
        "from msda_train.evaluation.fine_tuning import in_order\n"
        "from msda_train.evaluation.probes.subject import Subject\n"
        "subject = Subject(None, None, [], [], None, None, 0, {}, readers=1)\n"
        "if __name__ == '__main__':\n"
        "    half = in_order(range(9), 2, subject, 'kept open')\n"
        "    print(next(half))\n"
        "    try:\n"
        "        next(in_order(Failing(), 2, subject, 'failing'))\n"
        "    except UserError as error:\n"
        "        kept = error\n"
        "        print(kept)\n"
    )
    done = subprocess.run(
        [sys.executable, "failing.py"], cwd=tmp_path, timeout=120, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[0, 1]", "no picture"]


def test_readers_end_where_the_process_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(
        "from msda_train.evaluation.fine_tuning import in_order\n"
        "from msda_train.evaluation.probes.subject import Subject\n"
        "import os, signal\n"
        "from multiprocessing import active_children\n"
        "subject = Subject(None, None, [], [], None, None, 0, {}, readers=2)\n"
        "if __name__ == '__main__':\n"
        "    half = in_order(range(99), 2, subject, 'killed')\n"
        "    next(half)\n"
        "    print(*(each.pid for each in active_children()), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "killed.py"], cwd=tmp_path, timeout=120, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == -signal.SIGKILL
    readers = [Path("/proc", pid) for pid in done.stdout.split()]
    assert len(readers) == 2
    waited_until = time.monotonic() + 30
    while any(each.exists() for each in readers):
        assert time.monotonic() < waited_until, "a reader goes on without its trainer"
        time.sleep(0.1)
