"""One process at a time: locks that die with their process, and claims where a file system has no locks.

PATH is locked with flock, and no trace is left to clean up. Where the file system answers that it has no
locks, PATH.1, PATH.2, ... tell who works there: the last one is of the holder, and says so until it is let
go. Numbers are created exclusively and never removed, so no two processes can both win one. A holder of this
machine is seen to be dead by its process; one of another machine never is: somebody who knows that it is
gone has to remove its file.
"""

import errno
import fcntl
import json
import os
import platform
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_PATIENCE = 5  # tries, 50 ms apart: whoever only looks whether it is locked holds it for a moment


class Taken(Exception):
    """Somebody else has it. `hint` is what to do if that is not so, where it cannot be known; else empty."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


class Lock:
    """What this process holds, until `close` or its end."""

    def __init__(self, file: IO[str], claim: Path | None = None) -> None:
        self._file, self._claim = file, claim

    def close(self) -> None:
        """May be called twice."""
        if self._claim is not None:
            with suppress(OSError), open(self._claim, "r+b") as claim:  # where not, our end frees it
                claim.write(b"{}".ljust(os.fstat(claim.fileno()).st_size))  # in place: a disk may be full
            self._claim = None
        self._file.close()


def take(path: Path) -> Lock:
    """Locks the file `path`, made if need be. Raises Taken, or OSError where that is impossible."""
    file = open(path, "a")  # noqa: SIM115 (open as long as the lock is held)
    try:
        for left in reversed(range(_PATIENCE)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Lock(file)
            except BlockingIOError:
                time.sleep(0.05 if left else 0)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                return Lock(file, _claim(path))
        raise Taken
    except BaseException:
        file.close()
        raise


def is_taken(path: Path) -> bool:
    """Whether another process holds `path`; False where that cannot be read."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in _NO_LOCKS and _may_live(_last(path)[1])
    return False


def _claim(path: Path) -> Path:
    """The claim that is now ours. Raises Taken where the last one may still be somebody's."""
    number, holder = _last(path)
    if _may_live(holder):
        who = " ".join(f"{key} {holder[key]}" for key in ("host", "pid", "since") if key in holder)
        claim = _numbered(path, number)
        raise Taken(f"this file system has no locks: if it is gone ({who}), remove {claim}")
    claim = _numbered(path, number + 1)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    me = {**_place(), "pid": os.getpid(), "started": _started(os.getpid()), "since": since}
    try:
        with open(claim, "x", encoding="utf-8") as file:
            try:
                file.write(json.dumps(me))
                file.flush()
            except OSError:  # a full disk; nobody may go past a claim that is silent, so it was only ours
                claim.unlink()
                raise
    except FileExistsError:
        raise Taken from None
    return claim


def _last(path: Path) -> tuple[int, dict[str, Any]]:
    """The highest number, 0 where there is none, and what it says; {"pid": None} where nothing yet."""
    endings = [each.name.removeprefix(f"{path.name}.") for each in path.parent.glob(f"{path.name}.*")]
    number = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
    try:
        holder = json.loads(_numbered(path, number).read_text(encoding="utf-8")) if number else {}
    except (OSError, ValueError):  # being written this moment
        holder = {"pid": None}
    return number, holder if isinstance(holder, dict) else {"pid": None}


def _may_live(holder: dict[str, Any]) -> bool:
    if not holder:  # let go
        return False
    here = _place()
    if any(holder.get(key) != here[key] for key in here) or not isinstance(holder.get("pid"), int):
        return True
    return _started(holder["pid"]) == holder.get("started")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _place() -> dict[str, str]:
    """Where a process number means something: this machine since it was switched on, and on Linux this
    namespace of processes, of which containers have their own."""
    place = {"host": platform.node(), "boot": "", "namespace": ""}
    with suppress(OSError):
        place["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        place["namespace"] = os.readlink("/proc/self/ns/pid")
    return place


def _started(pid: int) -> str | None:
    """When that process began, as the kernel counts, so that a number used again is not taken for it; None
    where there is no such process, or it only waits to be buried."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if sys.platform == "linux" else _exists(pid)
    state, *rest = text.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]


def _exists(pid: int) -> str | None:
    """Where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"
