"""One process at a time, on one machine or on many: locks that die with their process, and claims where
locks cannot be trusted.

On a disk of this machine PATH is locked with flock, and no trace is left to clean up. On any other file
system it is not: Linux does send flock to an NFS server, but mounts with nolock, local_lock or localflock,
and BeeGFS as it comes, keep it to the machine and tell nobody. There, and where a file system says it has no
locks, PATH.1, PATH.2, ... tell who works: the last one is of the holder, and says so until it is let go.
They are created exclusively, which is one step for every server (NFS since version 3), and never removed, so
no two processes can both win one.

The holder renews its claim every RENEW_SECONDS. A holder of this machine is dead when its process is; one of
another machine when its claim is older than LEASE_SECONDS. Both times are the file server's own, that of the
claim and that of a file touched just now: what the clocks of two machines say does not matter.
"""

import errno
import fcntl
import json
import os
import platform
import re
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

RENEW_SECONDS = 20.0
LEASE_SECONDS = 180.0  # a file system may be away for a minute or two, and attributes are cached for one
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_PATIENCE = 5  # tries, 50 ms apart: whoever only looks whether it is locked holds it for a moment
# Disks of one machine, as Linux calls them; whatever else there is may be shared.
_LOCAL = {
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "zfs",
    "bcachefs",
    "f2fs",
    "jfs",
    "tmpfs",
    "ramfs",
    "overlay",
}
_LOCAL |= {"vfat", "exfat", "ntfs3", "fuseblk", "rootfs"}


class Taken(Exception):
    """Somebody else has it: `who`, as far as is known."""

    def __init__(self, who: str = "") -> None:
        super().__init__(who)
        self.who = who


class Lock:
    """What this process holds, until `close` or its end."""

    def __init__(self, file: IO[str], claim: Path | None = None) -> None:
        self._file, self._claim = file, claim
        self._closed = threading.Event()
        self.lost = False  # a claim that could not be renewed in time, and is somebody else's now
        if claim is not None:
            threading.Thread(target=self._renew, args=(claim,), daemon=True).start()

    def close(self) -> None:
        """May be called twice."""
        self._closed.set()
        if self._claim is not None:
            with suppress(OSError), open(self._claim, "r+b") as claim:  # where not, our end frees it
                claim.write(b"{}".ljust(os.fstat(claim.fileno()).st_size))  # in place: a disk may be full
            self._claim = None
        self._file.close()

    def _renew(self, claim: Path) -> None:
        path, _, number = str(claim).rpartition(".")
        while not self._closed.wait(RENEW_SECONDS):
            with suppress(OSError):  # the file system is away: it may come back in time
                os.utime(claim)  # without a time of ours: the server's
                self.lost = Path(f"{path}.{int(number) + 1}").exists()


def take(path: Path) -> Lock:
    """Locks the file `path`, made if need be. Raises Taken, or OSError where that is impossible."""
    file = open(path, "a")  # noqa: SIM115 (open as long as the lock is held)
    try:
        if not _on_this_machine(path):
            return Lock(file, _claim(path))
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
        if not _on_this_machine(path):
            return _may_live(path, *_last(path))
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in _NO_LOCKS and _may_live(path, *_last(path))
    return False


def _on_this_machine(path: Path) -> bool:
    """Whether `path`, a file that exists, lies on a disk that no other machine writes to."""
    return _file_system(os.stat(path).st_dev, str(path.resolve())) in _LOCAL | {""}


@lru_cache
def _file_system(device: int, path: str) -> str:
    """Its type as Linux names it; empty where there is no telling."""
    found = (0, "")
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            place = (
                re.sub(r"\\(\d{3})", lambda sign: chr(int(sign[1], 8)), before.split()[4]).rstrip("/") + "/"
            )
            if path.startswith(place) and len(place) >= found[0]:  # a later mount hides an earlier one
                found = len(place), after.split()[0]
    return found[1]


def _claim(path: Path) -> Path:
    """The claim that is now ours. Raises Taken where the last one may still be somebody's."""
    number, holder = _last(path)
    if _may_live(path, number, holder):
        raise Taken(" ".join(f"{key} {holder[key]}" for key in ("host", "pid", "since") if holder.get(key)))
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
    number = 0
    while _numbered(path, number + 1).exists():
        number += 1
    try:
        holder = json.loads(_numbered(path, number).read_text(encoding="utf-8")) if number else {}
    except (OSError, ValueError):  # being written this moment
        holder = {"pid": None}
    return number, holder if isinstance(holder, dict) else {"pid": None}


def _may_live(path: Path, number: int, holder: dict[str, Any]) -> bool:
    if not holder:  # let go
        return False
    here = _place()
    if all(holder.get(key) == here[key] for key in here) and isinstance(holder.get("pid"), int):
        return _started(holder["pid"]) == holder.get("started")
    return _age(path, _numbered(path, number)) < LEASE_SECONDS


def _age(path: Path, claim: Path) -> float:
    """Seconds since the claim was renewed, by the clock of the file system; 0 where it does not answer."""
    try:
        os.utime(path)
        with open(claim, "rb") as file:  # NFS asks the server for the times of a file that is opened
            return os.stat(path).st_mtime - os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


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
