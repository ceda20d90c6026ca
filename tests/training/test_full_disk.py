"""A disk that refuses a file: one line with the path, exit code 2, and nothing lost once there is room."""

import errno
import json
import os
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
from without_times import measured

from msda_train.cli import train as cli
from msda_train.core import files as atomic
from msda_train.core.errors import UserError
from msda_train.core.files import NotWritten, replace_file, whole_file
from msda_train.training.run import Run

EPOCHS = "recipe.epochs=3"


@pytest.fixture
def typed(small, tmp_path, monkeypatch, capsys):
    """Types msda-train in an empty folder: exit code and lines on stderr that are no bar."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(small(EPOCHS, *words))
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return code, [line for line in lines if line and "step/s" not in line and "?step" not in line]

    return run


@pytest.fixture
def refuse(monkeypatch):
    """A block in which the disk has no room for the file `name`, but for its first `fits` versions."""

    @contextmanager
    def make(name, number=errno.ENOSPC, fits=0):
        write, seen = atomic._Target.write, set()

        def refused(target, content):
            file = os.path.basename(target._file.name)
            if file.startswith(f".{name}."):
                seen.add(file)
                if len(seen) > fits:
                    target.error = OSError(number, os.strerror(number))
                    raise target.error
            return write(target, content)

        with monkeypatch.context() as patch:
            patch.setattr(atomic._Target, "write", refused)
            yield

    return make


def _stored(place):
    """What was measured, and the probes' numbers."""
    (path,) = place.rglob("row.json")
    probes = json.loads(path.read_text()).get("probes", {})
    return measured(path), {name: sorted(found["numbers"]) for name, found in probes.items()}


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("config.yaml", 0),
        ("checkpoint.pt", 0),
        ("checkpoint.pt", 1),
        ("gallery.json", 0),
        ("row.json", 0),
        ("logits.npz", 0),
        ("calibration.npz", 0),
        ("row.json", 1),
    ],
)
def test_no_room_for_a_file(typed, refuse, tmp_path, name, fits):
    words = ["probes=standard"]
    assert typed(*words, f"runs={tmp_path / 'straight'}")[0] == 0
    with refuse(name, fits=fits):
        code, lines = typed(*words)
    assert code == 2, lines
    assert name in lines[-1]
    assert lines[-1].startswith("msda-train: ")
    assert lines[-1].endswith(
        f"{name}: cannot be written (No space left on device); make room there, then type the same "
        "command again"
    )
    assert not any(line.startswith("Traceback") for line in lines)
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    code, lines = typed(*words)
    assert code == 0, lines
    if name in ("checkpoint.pt", "gallery.json") and (fits or name == "gallery.json"):
        assert f"going on after epoch {fits or 3} of 3" in lines
    assert _stored(tmp_path / "runs") == _stored(tmp_path / "straight")
    names = [sorted(p.name for p in (tmp_path / each).rglob("*")) for each in ("runs", "straight")]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("number", "todo"),
    [
        (errno.EDQUOT, "make room there"),
        (errno.EFBIG, "make room there"),
        (errno.EACCES, "make it writable"),
        (errno.EROFS, "make it writable"),
    ],
)
def test_other_reasons(typed, refuse, number, todo):
    with refuse("checkpoint.pt", number):
        code, lines = typed()
    assert code == 2
    assert f"cannot be written ({os.strerror(number)}); {todo}" in lines[-1]


def test_the_reason_is_told_whatever_the_writer_makes_of_it(tmp_path):
    """torch says `unexpected pos`, NumPy `N requested and M written`."""
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fill(write):
        with whole_file(path) as file:
            file._file.close()
            file._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
            write(file)

    import torch

    for write in (
        lambda file: torch.save({"a": torch.zeros(1000)}, file),
        lambda file: np.save(file, np.zeros(100_000)),
    ):
        with pytest.raises(NotWritten, match="No space left on device") as caught:
            fill(write)
        assert isinstance(caught.value, UserError)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_of_the_block_is_not_the_disks(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file"):
        raise ZeroDivisionError
    with pytest.raises(NotWritten, match="No such file or directory"):
        replace_file(tmp_path / "nowhere" / "file", b"")


@pytest.fixture
def disk(tmp_path):
    """A real disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("may not mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_real_disk_fills_up(typed, disk, tmp_path, monkeypatch):
    """While the second of three epochs is trained; then it becomes read-only; then all is well again."""
    assert typed(f"runs={tmp_path / 'straight'}")[0] == 0
    whole, ballast = Run.epoch, disk / "ballast"

    def fills(run, number, *rest):
        if number == 1:
            with pytest.raises(OSError, match="No space left"), open(ballast, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        return whole(run, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "epoch", fills)
        code, lines = typed(f"runs={disk / 'runs'}")
    assert code == 2
    assert "checkpoint.pt: cannot be written (No space left on device); make room there" in lines[-1]
    assert not list(disk.rglob("*.tmp"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, lines = typed(f"runs={disk / 'runs'}")
    assert code == 2
    assert lines[-1].endswith("cannot be written (Read-only file system); type runs=FOLDER")
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    code, lines = typed(f"runs={disk / 'runs'}")
    assert code == 0
    assert "going on after epoch 1 of 3" in lines
    assert _stored(disk) == _stored(tmp_path / "straight")
