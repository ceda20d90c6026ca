"""A run folder: its lock, its checkpoint, its row. What is on the disk is the whole state of a run.

No scheduler and no generator state is kept: both are functions of progress and seed.
"""

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import torch

from msda_train.core import locks, signals
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file, whole_file, writing
from msda_train.models.trained import read_checkpoint
from msda_train.training.update import Update


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Makes the run folder and holds its lock; raises UserError where that is impossible or another process
    works there. The lock dies with the process, so a killed run leaves nothing to clean up; a refused one,
    which is told by a UserError inside, takes away what was made here."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = locks.take(folder / "lock")
    except locks.Taken as taken:
        who = f" ({taken.who})" if taken.who else ""
        raise UserError(f"{folder}: another process is training this very run{who}; wait for it") from None
    except OSError as e:
        raise UserError(f"runs={folder}: cannot be written ({e.strerror}); type runs=FOLDER") from None
    with closing(lock):
        for left in folder.rglob(".*.tmp"):  # of a killed run: nobody else writes here
            with writing(left):
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


class Saving:
    """Checkpoints of a run at `path`, at most one in `seconds`. A context: an interrupt in it loses no epoch
    that was longer than the grace of a signal; shorter ones are soon made again."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._saved_at = self._began = time.monotonic()
        self._unsaved: bytes | None = None

    def epoch(self, update: Update, progress: Mapping[str, Any], *, now: bool) -> None:
        """One has ended. Its weights, optimizer and `progress` (JSON-ready) go to the disk where it is time,
        or `now`. Raises NotWritten; the checkpoint before is still whole then."""
        began, self._began = self._began, time.monotonic()
        if now or self._began - self._saved_at >= self._seconds:
            with whole_file(self._path) as file:
                torch.save(_state(update, progress), file)
            self._saved_at, self._unsaved = time.monotonic(), None
        elif self._began - began >= signals.GRACE_SECONDS:
            out = io.BytesIO()
            torch.save(_state(update, progress), out)
            self._unsaved = out.getvalue()
        else:
            self._unsaved = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._unsaved is not None:
            replace_file(self._path, self._unsaved)


def _state(update: Update, progress: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": update.network.state_dict(),
        "optimizer": update.optimizer.state_dict(),
        "progress": json.dumps(progress),
    }


def load(path: Path, update: Update, fingerprint: str) -> dict[str, Any]:
    """Restores network and optimizer from the checkpoint at `path` of the run `fingerprint`, and returns its
    progress. Raises UserError where it is not that run's, is damaged or does not fit."""
    state = read_checkpoint(path, fingerprint)
    try:
        update.resume(state["model"], state["optimizer"])
    except (KeyError, ValueError, RuntimeError):
        raise UserError(f"{path}: checkpoint does not fit this model; type runs=FOLDER") from None
    progress: dict[str, Any] = state["progress"]
    return progress
