"""Fetch an official file: mirrors in turn, a cut download goes on, nothing is taken unchecked."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from msda_train import __version__
from msda_train.core.errors import UserError

TIMEOUT_SECONDS = 30.0  # of silence, not of the whole download
_TRIES = 4  # requests to one mirror, as long as each brings the file further
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """One official file. `md5` or `sha256` (hex) decides whether a copy is it; `size` is in bytes."""

    filename: str
    urls: tuple[str, ...]  # the official address first, then byte-identical mirrors
    md5: str | None = None
    sha256: str | None = None
    size: int | None = None

    @property
    def checksum(self) -> str:
        """The SHA-256 where it is known, else the MD5; empty where neither is."""
        return self.sha256 or self.md5 or ""

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has the size and the checksum; where none is known, whoever decodes it
        checks what it holds. Raises OSError."""
        if self.size is not None and path.stat().st_size != self.size:
            return False
        if not self.checksum:
            return True
        digest = hashlib.sha256() if self.sha256 else hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest() == self.checksum


class _MirrorFailed(Exception):
    """Why one mirror did not give the file, in a few words."""


def fetch(remote: Remote, folder: Path, *, own_files: bool = True, option: str = "dataset.root") -> Path:
    """The path of `remote` in `folder`, downloaded if need be. UserError: what was tried, what to type;
    `own_files`: whether arrays or pictures of one's own can stand in for it; `option`: what names the
    folder."""
    target = folder / remote.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / f".{remote.filename}.lock"):
            if target.exists():
                if remote.matches(target):
                    return target
                raise UserError(
                    f"{target} is not the official file (its checksum is not {remote.checksum}); "
                    f"move it away or delete it, then type the command again"
                )
            part = folder / f"{remote.filename}.part"
            _from_any_mirror(remote, part, own_files, option)
            os.replace(part, target)
    except OSError as error:
        raise UserError(
            f"{option}: cannot write {target} ({error.strerror or error}); "
            f"type {option}=FOLDER with room to write"
        ) from error
    return target


def _from_any_mirror(remote: Remote, part: Path, own_files: bool, option: str) -> None:
    """Fill `part`, or raise UserError."""
    if part.exists() and remote.matches(part):  # whole, but the last command was stopped before it took it
        return
    reason = "it has no address"
    for url in remote.urls:
        try:
            _from_mirror(remote, url, part)
            return
        except _MirrorFailed as failure:
            reason = str(failure)
    others = (
        ", or type dataset.source=npz dataset.root=FILE.npz, "
        "or dataset.source=imagefolder dataset.root=FOLDER"
        if own_files
        else f", or type {option}=FOLDER, where it lies"
    )
    raise UserError(
        f"cannot download {remote.filename}: tried {', '.join(remote.urls)}; last reason: {reason}. "
        f"Type the command again to go on, or put the file at {part.with_name(remote.filename)} by hand"
        f"{others}"
    )


def _from_mirror(remote: Remote, url: str, part: Path) -> None:
    """Fill `part` from one address. A cut part stays for the next one to go on; a wrong one goes."""
    for _ in range(_TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            whole = _request(remote, url, part, start=before)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            whole, reason = False, _words(error)
        else:
            reason = "the connection was cut"
        if whole:
            if remote.matches(part):
                return
            part.unlink()
            reason = "wrong checksum"
            if before == 0:  # else the first part may have been the bad one: once more from the start
                break
        elif (part.stat().st_size if part.exists() else 0) <= before:
            break
    raise _MirrorFailed(reason)


def _request(remote: Remote, url: str, part: Path, *, start: int) -> bool:
    """Append to `part` from byte `start` on (or from 0, as the server likes); True when that was all."""
    headers = {"User-Agent": f"msda-train/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == 416:  # nothing after `start`: the part is whole, or it is not of this file
            return True
        raise
    with response:
        start = _granted_start(response, start)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if None not in (total, remote.size) and total != remote.size:
            raise _MirrorFailed(f"it offers {total} bytes, the official file has {remote.size}")
        _copy(response, part, start, total or remote.size)
    return total is None or part.stat().st_size >= total


def _granted_start(response: http.client.HTTPResponse, asked: int) -> int:
    """Where the answer begins: at `asked` with status 206, at 0 where the server ignored the range."""
    if response.status != 206:
        return 0
    granted = response.headers.get("Content-Range", "")
    if not granted.startswith(f"bytes {asked}-"):
        raise _MirrorFailed(f"it answered with another range ({granted or 'none'})")
    return asked


def _copy(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    name = part.name.removesuffix(".part")
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while block := _read(response):
            file.write(block)
            bar.update(len(block))


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_BLOCK)
    except OSError as error:  # so that it is not taken for an error of writing (TLS raises bare OSErrors)
        raise ConnectionError(_words(error)) from error


def _words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Two commands that write one `.part` would spoil it: the second waits, and finds the file."""
    try:
        import fcntl
    except ImportError:  # no such locks here; the checksum still finds a spoilt file
        yield
        return
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
