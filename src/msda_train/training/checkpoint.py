"""A run folder: its lock, its checkpoint, its row. What is on the disk is the whole state of a run.

No scheduler and no generator state is kept: both are functions of progress and seed. A `full` checkpoint
holds the network's state (weights, and BatchNorm's statistics), the optimizer's (of SGD, one momentum for
each weight) and the progress. `weights` leaves the optimizer's out and is packed: less than half the size. A
run that goes on from it begins without momentum, like a new one, and its row says so; one that is never
interrupted loses nothing.

A method that learns (`core.learns`) has a place of its own, "learned". "model" is always the network whose
error the row says: where that is one of the method's, the trained one is kept as "classifier" beside it.
"""

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import torch

from msda_train.core import locks, signals
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file, whole_file, writing
from msda_train.core.learns import Learning
from msda_train.core.packed import pack
from msda_train.models.trained import read_checkpoint
from msda_train.training.update import Update

FORMS = {"full": "weights, momentum and history", "weights": "weights and history, no momentum, packed"}

LOST = "optimizer state"


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
    """Checkpoints of a run at `path`, at most one in `seconds`, in one of FORMS; `log` is told the size of
    the first; `learning`: the method, where it learns. A context: an interrupt in it loses no epoch that was
    longer than the grace of a signal; shorter ones are soon made again."""

    def __init__(
        self,
        path: Path,
        seconds: float,
        form: str,
        log: Callable[[str], None],
        learning: Learning | None = None,
    ) -> None:
        self._path, self._seconds, self._form, self._log = path, seconds, form, log
        self._learning = learning
        self._saved_at = self._began = time.monotonic()
        self._unsaved: bytes | None = None
        self._told = False

    def epoch(self, update: Update, progress: Mapping[str, Any], *, now: bool) -> None:
        """One has ended. Its weights, optimizer and `progress` (JSON-ready) go to the disk where it is time,
        or `now`. Raises NotWritten; the checkpoint before is still whole then."""
        began, self._began = self._began, time.monotonic()
        if now or self._began - self._saved_at >= self._seconds:
            self._write(update, progress)
            self._saved_at, self._unsaved = time.monotonic(), None
        elif self._began - began >= signals.GRACE_SECONDS:
            self._unsaved = self._content(update, progress)
        else:
            self._unsaved = None

    def _write(self, update: Update, progress: Mapping[str, Any]) -> None:
        if self._form == "full":  # straight to the disk: a copy in memory would be as large
            with signals.held(), whole_file(self._path) as file:
                torch.save(self._state(update, progress), file)
        else:
            replace_file(self._path, self._content(update, progress))
        if not self._told:
            size = self._path.stat().st_size / 1e6
            self._log(f"{self._path.name}: {size:.3g} MB, checkpoint={self._form} ({FORMS[self._form]})")
        self._told = True

    def _content(self, update: Update, progress: Mapping[str, Any]) -> bytes:
        out = io.BytesIO()
        torch.save(self._state(update, progress), out)
        return out.getvalue() if self._form == "full" else pack(out.getvalue())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._unsaved is not None:
            replace_file(self._path, self._unsaved)

    def _state(self, update: Update, progress: Mapping[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = {"model": update.network.state_dict(), "progress": json.dumps(progress)}
        if self._learning is not None:
            state |= _learned(self._learning, update.network, self._form)
        if self._form == "full":
            return state | {"optimizer": update.optimizer.state_dict()}
        kept = [buffer for each in update.optimizer.state.values() for buffer in each.values()]
        return state | {"lost": any(buffer is not None for buffer in kept)}


def _learned(learning: Learning, network: torch.nn.Module, form: str) -> dict[str, Any]:
    kept = {"learned": learning.state()}
    if form != "full":
        kept["learned"].pop("optimizer", None)
    tested = learning.tested(network)
    other = {} if tested is network else {"model": tested.state_dict(), "classifier": network.state_dict()}
    return {**kept, **other}


def load(path: Path, update: Update, fingerprint: str, learning: Learning | None = None) -> dict[str, Any]:
    """Restores network and optimizer, and what the method learned, from the checkpoint at `path` of the run
    `fingerprint`, and returns its progress, with "lost": LOST where it left that out. Raises UserError where
    it is not that run's, is damaged or does not fit."""
    state = read_checkpoint(path, fingerprint)
    try:
        weights = state.get("classifier", state["model"])
        if "optimizer" in state:
            update.resume(weights, state["optimizer"])
        else:
            update.restart(weights)
        if learning is not None:
            learning.load(state["learned"])
    except (KeyError, ValueError, RuntimeError):
        raise UserError(f"{path}: checkpoint does not fit this model; type runs=FOLDER") from None
    progress: dict[str, Any] = state["progress"]
    return progress | {"lost": LOST} if state.get("lost") else progress
