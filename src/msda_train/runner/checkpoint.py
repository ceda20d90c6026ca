"""A run folder: its lock, its checkpoint, its row. What is on the disk is the whole state of a run.

No scheduler and no generator state is kept: both are functions of progress and seed.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from msda_train.atomic import whole_file
from msda_train.errors import UserError
from msda_train.runner.update import Update


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Makes the run folder and holds its lock; raises UserError where that is impossible or another process
    works there. The lock dies with the process, so a killed run leaves nothing to clean up; a refused one,
    which is told by a UserError inside, takes away what was made here."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")  # noqa: SIM115 (closed below, by `with lock`)
    except OSError as e:
        raise UserError(f"runs={folder}: cannot be written ({e.strerror}); type runs=FOLDER") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another process is training this very run; wait for it") from None
        for left in folder.glob("*.tmp"):  # of a killed run: nobody else writes here
            left.unlink()
        try:
            yield
        except UserError:
            _take_away(folder, made)
            raise


def _take_away(folder: Path, made: Sequence[Path]) -> None:
    """Removes the folders `made` for a run that never began."""
    if folder in made and {path.name for path in folder.iterdir()} <= {"lock", "config.yaml"}:
        with suppress(OSError):  # another run began beside it meanwhile
            for path in folder.iterdir():
                path.unlink()
            for each in made:
                each.rmdir()


def save(path: Path, update: Update, progress: Mapping[str, Any]) -> None:
    """Writes weights, optimizer and `progress` (JSON-ready) to a temporary name, then renames."""
    state = {
        "model": update.network.state_dict(),
        "optimizer": update.optimizer.state_dict(),
        "progress": json.dumps(progress),
    }
    with whole_file(path) as file:
        torch.save(state, file)


def load(path: Path, update: Update, fingerprint: str) -> dict[str, Any]:
    """Restores both and returns the progress; the file may hold tensors and plain values only."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        progress = json.loads(state["progress"])
        found = progress["fingerprint"]
    except Exception:  # a cut file fails in the zip reader, the unpickler or here, each in its own way
        raise UserError(f"{path}: checkpoint is damaged; move it away to train from the start") from None
    if found != fingerprint:
        raise UserError(
            f"{path}: checkpoint of another configuration ({found}, this run is {fingerprint}); "
            "type runs=FOLDER"
        )
    try:
        update.resume(state["model"], state["optimizer"])
    except (KeyError, ValueError, RuntimeError):
        raise UserError(f"{path}: checkpoint does not fit this model; type runs=FOLDER") from None
    return progress
