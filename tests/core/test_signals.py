"""SIGTERM and SIGHUP: the epoch is ended and saved, one line, 143 and 129; no number changes."""

import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from without_times import measured

import msda_train
from msda_train.cli import train as cli
from msda_train.core import files, signals
from msda_train.training.run import Run

LINE = "msda-train: stopped; the same command goes on from the last checkpoint"


@pytest.fixture
def typed(small, tmp_path, monkeypatch, capsys):
    """Types msda-train, no checkpoint but the last asked for: exit code and lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(small("recipe.epochs=3", "checkpoint_seconds=3600", *words))
        return code, capsys.readouterr().err.replace("\r", "\n").splitlines()

    return run


@pytest.fixture
def in_epoch(monkeypatch):
    """Does something when an epoch, counted from 1, has begun."""

    def make(wanted, act, after=lambda: None):
        whole = Run.epoch

        def epoch(run, index, *rest):
            if index + 1 == wanted:
                act()
            measured = whole(run, index, *rest)
            if index + 1 == wanted:
                after()
            return measured

        monkeypatch.setattr(Run, "epoch", epoch)

    return make


def _kill(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_epoch_is_ended_and_saved(typed, in_epoch, tmp_path, monkeypatch, number, code):
    assert typed(f"runs={tmp_path / 'straight'}")[0] == 0
    with monkeypatch.context():
        in_epoch(2, _kill(number))
        found, lines = typed()
    assert found == code
    assert lines[-1] == LINE
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    found, lines = typed()
    assert found == 0
    assert "going on after epoch 2 of 3" in lines
    assert measured(tmp_path / "runs") == measured(tmp_path / "straight")
    assert signal.getsignal(number) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_ctrl_c_ends_at_once(typed, in_epoch):
    in_epoch(2, _kill(signal.SIGINT), lambda: pytest.fail("went on"))
    code, lines = typed()
    assert (code, lines[-1]) == (130, LINE)
    assert not list(Path().rglob("checkpoint.pt"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("write", [3, 10, 20])
def test_a_checkpoint_is_written_to_its_end(typed, tmp_path, monkeypatch, number, code, write):
    """torch calls our file from C++, which turns an exception there into another, or aborts."""
    assert typed(f"runs={tmp_path / 'straight'}")[0] == 0
    written, counted = files._Target.write, itertools.count(1)

    def interrupted(target, content):
        if next(counted) == write:
            os.kill(os.getpid(), number)
        return written(target, content)

    with monkeypatch.context() as patch:
        patch.setattr(files._Target, "write", interrupted)
        patch.setattr(signals, "GRACE_SECONDS", 1e-6)
        found, lines = typed("checkpoint_seconds=0")
    assert (found, lines[-1]) == (code, LINE)
    assert next(counted) > write + 20  # the rest of that checkpoint, and not one more
    found, lines = typed()
    assert found == 0
    assert "going on after epoch 1 of 3" in lines
    assert measured(tmp_path / "runs") == measured(tmp_path / "straight")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupt_that_became_another_error_is_still_one(typed, in_epoch, monkeypatch, number, code):
    """As `torch.cuda.graph` does, whose end fails in a recording that is cut short."""

    def cut():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(signals, "GRACE_SECONDS", 1e-3)
    in_epoch(2, cut, lambda: pytest.fail("went on"))
    found, lines = typed()
    assert (found, lines[-1]) == (code, LINE)


def test_an_error_of_its_own_is_no_interrupt(typed, in_epoch):
    def fail():
        raise RuntimeError("ours")

    in_epoch(2, fail, lambda: pytest.fail("went on"))
    found, lines = typed()
    assert found == 1
    assert "RuntimeError: ours" in lines


def test_a_second_signal_ends_at_once(typed, in_epoch, monkeypatch):
    monkeypatch.setattr(signals, "SAME_SECONDS", 0.0)
    in_epoch(2, lambda: (_kill(signal.SIGTERM)(), _kill(signal.SIGTERM)()), lambda: pytest.fail("went on"))
    code, lines = typed()
    assert (code, lines[-1]) == (143, LINE)


def test_the_same_signal_from_two_is_one(typed, in_epoch):
    """Slurm tells the planner and its trainers, and the planner tells them, too."""
    in_epoch(2, lambda: (_kill(signal.SIGHUP)(), _kill(signal.SIGTERM)()))
    assert typed()[0] == 129
    assert list(Path().rglob("checkpoint.pt"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_long_epoch_ends_at_once_and_the_one_before_is_saved(
    typed, in_epoch, tmp_path, monkeypatch, number, code
):
    assert typed(f"runs={tmp_path / 'straight'}")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(signals, "GRACE_SECONDS", 0.001)
        in_epoch(3, lambda: (_kill(number)(), time.sleep(5)), lambda: pytest.fail("went on"))
        found, lines = typed()
    assert (found, lines[-1]) == (code, LINE)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    found, lines = typed()
    assert found == 0
    assert "going on after epoch 2 of 3" in lines
    assert measured(tmp_path / "runs") == measured(tmp_path / "straight")


def test_a_sweep_stops_with_its_job(typed, in_epoch):
    in_epoch(2, _kill(signal.SIGTERM))
    code, lines = typed("-m", "seed=0,1,2")
    assert (code, lines[-1]) == (143, LINE)
    assert len(list(Path().rglob("config.yaml"))) == 1


def test_who_ignores_a_signal_goes_on_ignoring_it(typed, in_epoch):
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        in_epoch(2, _kill(signal.SIGHUP))
        assert typed()[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


CLOSED = """
import os, signal, sys
from msda_train.training.run import Run
from msda_train.cli.train import main
whole = Run.epoch
def epoch(run, index, *rest):
    if index == 1:
        os.write(3, b"second epoch")
        signal.sigtimedwait([], 0.5)
        for _ in range(3):
            print("still here", file=sys.stderr, flush=True)
    return whole(run, index, *rest)
Run.epoch = epoch
code = main()
os.write(3, b" code %d" % code)
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")
def test_a_closed_terminal(small, tmp_path):
    """Its window is closed in the second epoch: nothing can be written to it any more."""
    ours, theirs = pty.openpty()
    told, tell = os.pipe()
    words = small("recipe.epochs=3", "checkpoint_seconds=3600")
    become = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    become += f"os.dup2({tell}, 3); sys.argv.pop(0) if 0 else None; exec({CLOSED!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", become, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        pass_fds=[tell],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(msda_train.__file__).parents[1])},
    )
    os.close(theirs)
    os.close(tell)
    assert os.read(told, 100) == b"second epoch"
    os.close(ours)
    assert process.wait(60) == 129
    assert os.read(told, 100) == b" code 129"
    os.close(told)
    assert list(tmp_path.rglob("checkpoint.pt"))
